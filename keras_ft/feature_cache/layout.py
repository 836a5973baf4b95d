"""How the teacher's outputs for one batch become bytes, and back.

A record is one batch: for every output its per-channel scales (int8 only) and
its rows, then the labels, all little endian and without gaps. TFRecord adds a
CRC to each record, which is checked whenever it is read.
"""

import dataclasses
import math
from typing import Any

import numpy as np
import tensorflow as tf

BYTES = {"float32": 4, "float16": 2, "int8": 1}
LOGITS = "logits"
LABEL_BYTES = 4
# Largest absolute error, largest relative error of a row, smallest cosine.
MEASURES = ("absolute", "relative", "cosine")
NO_ERROR = (0.0, 0.0, 1.0)
Errors = list[list[float]]


@dataclasses.dataclass(frozen=True)
class Layout:
    """Names and shapes of what is stored, in order.

    Args:
        names: The taps, then "logits" where `logits`.
        shapes: Shape of one row of each.
        logits: Whether the last one is the teacher's output.
        dtype: "float32", "float16" or "int8".

    Example:

    >>> layout = Layout(("stage3",), ((8, 8, 64),), False, "float16")
    >>> layout.row_bytes
    8196
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    logits: bool
    dtype: str

    @property
    def taps(self) -> tuple[str, ...]:
        """Names of the feature maps."""
        return self.names[:-1] if self.logits else self.names

    @property
    def row_bytes(self) -> int:
        """Bytes one image takes, its label included."""
        numbers = sum(math.prod(shape) for shape in self.shapes)
        return numbers * BYTES[self.dtype] + LABEL_BYTES

    @property
    def batch_bytes(self) -> int:
        """Bytes a batch takes beside its rows."""
        if self.dtype != "int8":
            return 0
        return 4 * sum(shape[-1] for shape in self.shapes)

    def compress(self, values: list[Any]) -> tuple[list[Any], Any]:
        """What is stored of a batch, and how far it is from the truth.

        Args:
            values: One float32 tensor per output.

        Returns:
            The tensors to store, and float32 (outputs, 3): largest absolute
            error, largest relative error of a row, smallest cosine of a row.
            The absolute error is NaN where a value is not finite, infinite
            where it is too large for the dtype.
        """
        stored, errors = [], []
        for value in values:
            parts = _quantize(value, self.dtype)
            stored.extend(parts)
            errors.append(distance(value, _restore(parts)))
        return stored, tf.stack(errors)

    def compressor(self) -> Any:
        """`compress` as one graph for batches of every size."""

        def compress(*values: Any) -> tuple[list[Any], Any]:
            return self.compress(list(values))

        specs = [tf.TensorSpec((None, *shape)) for shape in self.shapes]
        return tf.function(compress, input_signature=specs)

    def decode(self, record: Any) -> tuple[list[Any], Any]:
        """float32 outputs and int32 labels of one record, in a graph."""
        length = tf.strings.length(record)
        rows = (length - self.batch_bytes) // self.row_bytes
        values, position = [], 0
        for shape in self.shapes:
            parts = []
            if self.dtype == "int8":
                scales, position = _read(record, position, shape[-1], "float32")
                parts.append(tf.reshape(scales, shape[-1:]))
            count = rows * math.prod(shape)
            flat, position = _read(record, position, count, self.dtype)
            parts.append(tf.reshape(flat, (-1, *shape)))
            values.append(_restore(parts))
        labels, _ = _read(record, position, rows, "int32")
        return values, labels


def _read(record: Any, position: Any, count: Any, dtype: str) -> Any:
    """Numbers from a place in a record, and the place behind them."""
    size = count * tf.dtypes.as_dtype(dtype).size
    piece = tf.strings.substr(record, position, size)
    return tf.io.decode_raw(piece, dtype), position + size


def encode(stored: list[Any], labels: Any) -> bytes:
    """The record of a batch from what `compress` returned."""
    arrays = [np.asarray(part) for part in stored]
    arrays.append(np.asarray(labels, np.int32))
    little = [a.astype(a.dtype.newbyteorder("<"), copy=False) for a in arrays]
    return b"".join(array.tobytes() for array in little)


def worst(one: Errors, other: Errors) -> Errors:
    """The larger errors and the smaller cosine of each output."""
    return [
        [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2])]
        for a, b in zip(one, other, strict=True)
    ]


def distance(live: Any, other: Any) -> Any:
    """(largest absolute error, largest relative one, smallest cosine)."""
    absolute = tf.reduce_max(tf.abs(live - other))
    # Maxima may pass over NaN, so both cases are asked for.
    for each, code in ((other, math.inf), (live, math.nan)):
        finite = tf.reduce_all(tf.math.is_finite(each))
        absolute = tf.where(finite, absolute, code)
    relative, cosine = of_rows(live, other)
    return tf.stack([absolute, tf.reduce_max(relative), tf.reduce_min(cosine)])


def of_rows(live: Any, other: Any) -> tuple[Any, Any]:
    """Relative error and cosine of each row."""
    # Scaled first, so that squares neither overflow nor vanish.
    scale = tf.maximum(tf.reduce_max(tf.abs(live)), 1e-30)
    live, other = (
        tf.reshape(each / scale, (tf.shape(live)[0], -1))
        for each in (live, other)
    )
    length, length_other = tf.norm(live, axis=1), tf.norm(other, axis=1)
    apart = tf.norm(live - other, axis=1)
    # A row of zeros is a direction of its own: right only if kept.
    relative = tf.where(
        length > 0, apart / tf.maximum(length, 1e-30), tf.sign(apart)
    )
    both = length * length_other
    cosine = tf.where(
        both > 0,
        tf.reduce_sum(live * other, axis=1) / tf.maximum(both, 1e-30),
        1.0 - tf.sign(apart),
    )
    return relative, cosine


def _quantize(value: Any, dtype: str) -> list[Any]:
    if dtype != "int8":
        return [tf.cast(value, dtype)]
    # The batch's own extremes: nothing is ever clipped.
    axes = list(range(len(value.shape) - 1))
    scales = tf.reduce_max(tf.abs(value), axis=axes) / 127.0
    steps = tf.round(tf.math.divide_no_nan(value, scales))
    return [scales, tf.cast(steps, tf.int8)]


def _restore(parts: list[Any]) -> Any:
    value = tf.cast(parts[-1], tf.float32)
    return value if len(parts) == 1 else value * parts[0]
