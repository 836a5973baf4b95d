"""Puts metadata and labels into a `.tflite` file."""

import functools
import io
import zipfile
from typing import Any

from keras_ft.export import metadata_tables
from keras_ft.export.metadata import Metadata

NAME = "TFLITE_METADATA"
_MODEL = b"TFL3"
_ALIGNMENT = 16  # `force_align` of Buffer.data in TensorFlow Lite's schema.
# A ZIP entry has a date; the same file is to have the same bytes.
_DATE = (1980, 1, 1, 0, 0, 0)


def with_metadata(content: bytes, metadata: Metadata) -> bytes:
    """A `.tflite` file that carries metadata and its labels.

    Its outputs stay the same bit for bit, and the same arguments give the same
    bytes. Metadata that was there is replaced.

    Args:
        content: The file, with pixels 0..255 as input and probabilities as
            output, as `to_tflite` makes it.
        metadata: What to say.

    Returns:
        The file's new content. It is a ZIP archive as well, in which
        `labels.txt` lies.

    Example:

    >>> content = with_metadata(Path("student.tflite").read_bytes(), metadata)
    >>> zipfile.ZipFile(io.BytesIO(content)).namelist()
    ['labels.txt']
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
    model.buffers.append(schema.BufferT(metadata_tables.packed(metadata)))
    for buffer in model.buffers:
        if buffer.data is not None:
            buffer.Pack = functools.partial(_pack_aligned, buffer)
    entry = schema.MetadataT()
    entry.name = NAME
    entry.buffer = len(model.buffers) - 1
    model.metadata = [*others, entry]
    builder = flatbuffers.Builder(len(content))
    builder.Finish(model.Pack(builder), _MODEL)
    archive = io.BytesIO()
    archive.write(bytes(builder.Output()))
    with zipfile.ZipFile(archive, "a", zipfile.ZIP_STORED) as labels:
        lines = "".join(f"{name}\n" for name in metadata.class_names)
        labels.writestr(zipfile.ZipInfo(metadata_tables.LABELS, _DATE), lines)
    return archive.getvalue()


def _pack_aligned(buffer: Any, builder: Any) -> int:
    """As `BufferT.Pack`, which forgets that weights lie at multiples of 16."""
    data = bytes(buffer.data)
    builder.Prep(_ALIGNMENT, len(data))
    return metadata_tables.table(
        builder,
        {0: builder.CreateByteVector(data)},
        uint64={1: buffer.offset, 2: buffer.size},
    )


def _text(name: bytes | str) -> str:
    return name.decode() if isinstance(name, bytes) else name
