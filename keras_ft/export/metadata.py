"""TFLite metadata: what a `.tflite` file says about itself.

The official writers cannot be installed beside TensorFlow and tfmot, so the
tables are written here, field by field. Numbers are the fields' places in
`metadata_schema.fbs` of TensorFlow Lite Support.
"""

import functools
import io
import zipfile
from collections.abc import Sequence
from typing import Any

from keras_ft.errors import InputError

CHANNELS = (1, 3)  # That metadata knows: grey, RGB.
LABELS = "labels.txt"
NAME = "TFLITE_METADATA"
_IDENTIFIER = b"M001"
_MODEL_IDENTIFIER = b"TFL3"
# The reader that is asked for: the oldest that knows all that is written here.
_PARSER = "1.0.0"
_RGB, _GRAYSCALE = 1, 2
_AXIS_LABELS = 2
_IMAGE, _FEATURES = 2, 1  # Members of the union ContentProperties.
_NORMALIZATION = 1  # Of ProcessUnitOptions.
_ALIGNMENT = 16  # `force_align` of Buffer.data in TensorFlow Lite's schema.
# A ZIP entry has a date; the same file is to have the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def image_classifier_metadata(
    name: str,
    description: str,
    input_shape: tuple[int, ...],
    version: str = "",
    author: str = "",
    license: str = "",
    activation: str = "softmax",
) -> bytes:
    """Describe an image classifier, as a flatbuffer of its own.

    Args:
        name: Of the model.
        description: What it tells apart.
        input_shape: (H, W, C) of an image; C is 3 (RGB) or 1 (grey).
        version: Of the model.
        author: Who made it.
        license: What one may do with it.
        activation: `"softmax"`, or `"sigmoid"` for labels of their own.

    Returns:
        What `add_metadata` puts into a file.
    """
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    subgraph = _table(
        builder,
        {
            2: _list(builder, [_image(builder, input_shape)]),
            3: _list(builder, [_probabilities(builder, activation)]),
        },
    )
    texts = {0: name, 1: description, 2: version, 4: author, 5: license}
    known = {
        slot: builder.CreateString(text)
        for slot, text in {**texts, 7: _PARSER}.items()
        if text
    }
    root = _table(builder, {**known, 3: _list(builder, [subgraph])})
    builder.Finish(root, _IDENTIFIER)
    return bytes(builder.Output())


def check_class_names(class_names: Sequence[str], classes: int) -> None:
    """Refuse class names that are no lines of `labels.txt`, one per class.

    Raises:
        InputError: There are more or fewer of them than classes, or one is
            empty or has a line break.
    """
    if len(class_names) != classes:
        raise InputError(
            "class_names",
            f"{len(class_names)} names",
            f"one for each of the {classes} classes",
            "Pass data.class_names of the data the student was trained on.",
        )
    broken = [x for x in class_names if not x or len(x.split("\n")) > 1]
    if broken:
        raise InputError(
            "class_names",
            broken,
            "names of one line each",
            "labels.txt has one line per class.",
        )


def add_metadata(
    content: bytes, metadata: bytes, class_names: Sequence[str]
) -> bytes:
    """Put metadata and labels into a `.tflite` file.

    Its outputs stay the same bit for bit, and the same arguments give the same
    bytes. Metadata that was there is replaced.

    Args:
        content: The file, with pixels 0..255 as input and probabilities as
            output, as `to_tflite` makes it.
        metadata: See `image_classifier_metadata`.
        class_names: One per output, in order; the file's `labels.txt`.

    Returns:
        The file's new content. It is a ZIP archive as well, in which
        `labels.txt` lies.
    """
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    others = []
    for entry in model.metadata or []:
        if _text(entry.name) == NAME:
            model.buffers[entry.buffer].data = None
        else:
            others.append(entry)
    model.buffers.append(schema.BufferT(metadata))
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.Pack = functools.partial(_pack_aligned, buffer)
    entry = schema.MetadataT()
    entry.name = NAME
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*others, entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), _MODEL_IDENTIFIER)
    archive = io.BytesIO()
    archive.write(bytes(builder.Output()))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as labels:
        lines = "".join(f"{name}\n" for name in class_names)
        labels.writestr(zipfile.ZipInfo(LABELS, _DATE), lines)
    return archive.getvalue()


def _pack_aligned(buffer: Any, builder: Any) -> int:
    """Do as `BufferT.Pack`, which forgets to align weights to 16 bytes."""
    data = bytes(buffer.data)
    builder.Prep(_ALIGNMENT, len(data))
    return _table(
        builder,
        {0: builder.CreateByteVector(data)},
        uint64={1: buffer.offset, 2: buffer.size},
    )


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name


def _image(builder: Any, input_shape: tuple[int, ...]) -> int:
    """Describe the input: its colors and size, and pixels as they are."""
    height, width, channels = input_shape
    size = _table(builder, {}, uint32={0: width, 1: height})
    color = _RGB if channels == 3 else _GRAYSCALE
    image = _table(builder, {1: size}, int8={0: color})
    # Scaling is inside of the file: readers are to do nothing.
    options = _table(
        builder, {0: _floats(builder, [0.0]), 1: _floats(builder, [1.0])}
    )
    unit = _table(builder, {1: options}, uint8={0: _NORMALIZATION})
    return _table(
        builder,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("Pixels, 0 to 255."),
            3: _table(builder, {1: image}, uint8={0: _IMAGE}),
            4: _list(builder, [unit]),
            5: _range(builder, 0.0, 255.0),
        },
    )


_ABOUT = {
    "softmax": "Of each class; their sum is 1.",
    "sigmoid": "Of each label, whatever the others are.",
}


def _probabilities(builder: Any, activation: str) -> int:
    """Describe the output, and name the file of its labels."""
    labels = _table(
        builder,
        {
            0: builder.CreateString(LABELS),
            1: builder.CreateString("One class per line."),
        },
        int8={2: _AXIS_LABELS},
    )
    features = _table(builder, {})
    return _table(
        builder,
        {
            0: builder.CreateString("probability"),
            1: builder.CreateString(_ABOUT[activation]),
            3: _table(builder, {1: features}, uint8={0: _FEATURES}),
            5: _range(builder, 0.0, 1.0),
            6: _list(builder, [labels]),
        },
    )


def _range(builder: Any, least: float, most: float) -> int:
    return _table(
        builder, {0: _floats(builder, [most]), 1: _floats(builder, [least])}
    )


def _table(
    builder: Any,
    offsets: dict[int, int],
    *,
    int8: dict[int, int] | None = None,
    uint8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
    uint64: dict[int, int] | None = None,
) -> int:
    """Write fields by their place; what they point to is there already."""
    kinds = (
        (builder.PrependUint64Slot, uint64 or {}),
        (builder.PrependUOffsetTRelativeSlot, offsets),
        (builder.PrependUint32Slot, uint32 or {}),
        (builder.PrependUint8Slot, uint8 or {}),
        (builder.PrependInt8Slot, int8 or {}),
    )
    slots = [slot for _, values in kinds for slot in values]
    builder.StartObject(max(slots, default=-1) + 1)
    for prepend, values in kinds:
        for slot, value in values.items():
            prepend(slot, value, 0)
    return int(builder.EndObject())


def _list(builder: Any, offsets: list[int]) -> int:
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return int(builder.EndVector())


def _floats(builder: Any, numbers: list[float]) -> int:
    builder.StartVector(4, len(numbers), 4)
    for number in reversed(numbers):
        builder.PrependFloat32(number)
    return int(builder.EndVector())
