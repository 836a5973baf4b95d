"""Rows: the teacher's outputs for one image as bytes, and back.

A row has a fixed size and holds the number of its image, the outputs (as
int8 with their scales before them) and a check sum.
"""

import dataclasses
import functools
import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

DTYPES = ("float32", "float16", "int8")
LOGITS = "logits"
# Largest absolute error, largest relative error of a row, smallest cosine.
MEASURES = ("absolute", "relative", "cosine")
Errors = list[list[float]]
# The 64-bit words of a whole row add up to this, modulo 2**64.
_SUM = np.uint64(1)


@dataclasses.dataclass(frozen=True)
class RowFormat:
    """Names and shapes of the outputs in a row, in order.

    Args:
        names: The taps, then "logits" where `logits`.
        shapes: Shape of each for one image.
        logits: Whether the last one is the teacher's output.
        dtype: "float32", "float16", or "int8" with a scale of its own for
            each channel of a map and for each vector.

    Example:

    >>> RowFormat(("stage3",), ((8, 8, 64),), False, "float16").row.itemsize
    8208
    """

    names: tuple[str, ...]
    shapes: tuple[tuple[int, ...], ...]
    logits: bool
    dtype: str

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> "RowFormat":
        """Return the format that a manifest describes."""
        return cls(
            names=tuple(fields["names"]),
            shapes=tuple(map(tuple, fields["shapes"])),
            logits=fields["logits"],
            dtype=fields["dtype"],
        )

    @property
    def taps(self) -> tuple[str, ...]:
        """Return the names of the feature maps."""
        return self.names[:-1] if self.logits else self.names

    @functools.cached_property
    def row(self) -> np.dtype:
        """Return NumPy's description of a row, of whole 64-bit words."""
        fields: list[Any] = [("number", "<i8")]
        for name, dtype, shape in self._parts:
            fields.append((name, np.dtype(dtype).newbyteorder("<"), shape))
        padding = -np.dtype(fields).itemsize % 8
        if padding:
            fields.append(("padding", "u1", (padding,)))
        return np.dtype([*fields, ("check", "<u8")])

    @property
    def _parts(self) -> list[tuple[str, str, tuple[int, ...]]]:
        """Return name, dtype and shape of what is stored of the outputs."""
        parts = []
        for place, shape in enumerate(self.shapes):
            if self.dtype == "int8":
                scales = shape[-1:] if len(shape) > 1 else (1,)
                parts.append((f"scales {place}", "float32", scales))
            parts.append((f"values {place}", self.dtype, shape))
        return parts

    def compressor(self) -> Any:
        """Return a graph from float32 outputs to what is stored of them.

        Its second result, float32 (outputs, 3), says how far that is from
        the truth: largest absolute error, largest relative error of a row,
        smallest cosine of a row. The absolute error is NaN where a value is
        not finite, infinite where it is too large for the dtype.
        """

        def compress(*outputs: Any) -> tuple[list[Any], Any]:
            stored = [part for x in outputs for part in self._quantize(x)]
            pairs = zip(outputs, self.restore(stored), strict=True)
            return stored, tf.stack([distance(*pair) for pair in pairs])

        specs = [tf.TensorSpec((None, *shape)) for shape in self.shapes]
        return tf.function(compress, input_signature=specs)

    def _quantize(self, value: Any) -> list[Any]:
        if self.dtype != "int8":
            return [tf.cast(value, self.dtype)]
        # The row's own extremes: nothing is ever clipped.
        axes = list(range(1, len(value.shape)))
        axes = axes[:-1] or axes
        scales = tf.reduce_max(tf.abs(value), axes, keepdims=True) / 127.0
        steps = tf.round(tf.math.divide_no_nan(value, scales))
        flat = tf.reshape(scales, (-1, scales.shape[-1]))
        return [flat, tf.cast(steps, tf.int8)]

    def restore(self, stored: Sequence[Any]) -> list[Any]:
        """Return float32 outputs from the tensors that are stored."""
        if self.dtype != "int8":
            return [tf.cast(value, tf.float32) for value in stored]
        outputs = []
        for scales, steps in zip(stored[::2], stored[1::2], strict=True):
            for _ in range(len(steps.shape) - 2):
                scales = scales[:, None]
            outputs.append(tf.cast(steps, tf.float32) * scales)
        return outputs

    def pack(self, numbers: np.ndarray, stored: Sequence[Any]) -> np.ndarray:
        """Return the rows of images, by what is stored of their outputs."""
        rows = np.zeros(len(numbers), self.row)
        rows["number"] = numbers
        for (name, _, _), value in zip(self._parts, stored, strict=True):
            rows[name] = value
        rows["check"] = _SUM - _sums(rows)
        return rows

    def unpack(self, rows: np.ndarray) -> list[np.ndarray]:
        """Return what is stored of the outputs, an array each."""
        return [np.ascontiguousarray(rows[name]) for name, _, _ in self._parts]

    def unpacked_specs(self, batch: int | None) -> list[tf.TensorSpec]:
        """Return shapes and dtypes of what `unpack` returns."""
        return [
            tf.TensorSpec((batch, *shape), dtype)
            for _, dtype, shape in self._parts
        ]


def are_whole(rows: np.ndarray, numbers: np.ndarray) -> bool:
    """Return whether no bit of these images' rows has changed."""
    same = np.array_equal(rows["number"], numbers)
    return same and bool(np.all(_sums(rows) == _SUM))


def _sums(rows: np.ndarray) -> np.ndarray:
    words = rows.view("<u8").reshape(len(rows), -1)
    return words.sum(axis=1, dtype=np.uint64)


def no_errors(count: int) -> Errors:
    """Return the errors of so many outputs before the first row."""
    return [[0.0, 0.0, 1.0] for _ in range(count)]


def worst(one: Errors, other: Errors) -> Errors:
    """Return the larger errors and the smaller cosine of each output."""
    return [
        [max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2])]
        for a, b in zip(one, other, strict=True)
    ]


def distance(live: Any, other: Any) -> Any:
    """Return largest absolute and relative error, and smallest cosine."""
    absolute = tf.reduce_max(tf.abs(live - other))
    # Maxima may pass over NaN, so both cases are asked for.
    for each, code in ((other, math.inf), (live, math.nan)):
        finite = tf.reduce_all(tf.math.is_finite(each))
        absolute = tf.where(finite, absolute, code)
    relative, cosine = distances(live, other)
    return tf.stack([absolute, tf.reduce_max(relative), tf.reduce_min(cosine)])


def distances(live: Any, other: Any) -> tuple[Any, Any]:
    """Return relative error and cosine of each row."""
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
