"""TFLite metadata as a flatbuffer.

The official writers cannot be installed beside TensorFlow and tfmot. Numbers
are the fields' places in `metadata_schema.fbs` of TensorFlow Lite Support.
"""

from typing import Any

from keras_ft.export.metadata import Metadata

LABELS = "labels.txt"
IDENTIFIER = b"M001"
# The reader that is asked for: the oldest that knows all that is written here.
_PARSER = "1.0.0"
_RGB, _GRAYSCALE = 1, 2
_AXIS_LABELS = 2
_IMAGE, _FEATURES = 2, 1  # Members of the union ContentProperties.
_NORMALIZATION = 1  # Of ProcessUnitOptions.


def packed(metadata: Metadata) -> bytes:
    """The metadata as a flatbuffer of its own."""
    import flatbuffers

    builder = flatbuffers.Builder(1024)
    subgraph = table(
        builder,
        {
            2: _list(builder, [_image(builder, metadata)]),
            3: _list(builder, [_probabilities(builder)]),
        },
    )
    texts = {
        0: metadata.name,
        1: metadata.description,
        2: metadata.version,
        4: metadata.author,
        5: metadata.license,
        7: _PARSER,
    }
    known = {
        slot: builder.CreateString(text) for slot, text in texts.items() if text
    }
    root = table(builder, {**known, 3: _list(builder, [subgraph])})
    builder.Finish(root, IDENTIFIER)
    return bytes(builder.Output())


def _image(builder: Any, metadata: Metadata) -> int:
    """The input tensor: its colors and size, and that pixels go in as are."""
    height, width, channels = metadata.input_shape
    size = table(builder, {}, uint32={0: width, 1: height})
    color = _RGB if channels == 3 else _GRAYSCALE
    image = table(builder, {1: size}, int8={0: color})
    # Scaling is inside of the file: readers are to do nothing.
    options = table(
        builder, {0: _floats(builder, [0.0]), 1: _floats(builder, [1.0])}
    )
    unit = table(builder, {1: options}, uint8={0: _NORMALIZATION})
    return table(
        builder,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("Pixels, 0 to 255."),
            3: table(builder, {1: image}, uint8={0: _IMAGE}),
            4: _list(builder, [unit]),
            5: _range(builder, 0.0, 255.0),
        },
    )


def _probabilities(builder: Any) -> int:
    """The output tensor, and where its labels are."""
    labels = table(
        builder,
        {
            0: builder.CreateString(LABELS),
            1: builder.CreateString("One class per line."),
        },
        int8={2: _AXIS_LABELS},
    )
    features = table(builder, {})
    return table(
        builder,
        {
            0: builder.CreateString("probability"),
            1: builder.CreateString("Of each class; their sum is 1."),
            3: table(builder, {1: features}, uint8={0: _FEATURES}),
            5: _range(builder, 0.0, 1.0),
            6: _list(builder, [labels]),
        },
    )


def _range(builder: Any, least: float, most: float) -> int:
    return table(
        builder, {0: _floats(builder, [most]), 1: _floats(builder, [least])}
    )


def table(
    builder: Any,
    offsets: dict[int, int],
    *,
    int8: dict[int, int] | None = None,
    uint8: dict[int, int] | None = None,
    uint32: dict[int, int] | None = None,
    uint64: dict[int, int] | None = None,
) -> int:
    """A table with fields by their place; what it points to comes before."""
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
