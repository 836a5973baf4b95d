"""Images for calibration and for the gate, checked before they are used.

A converter that calibrates on nothing, on NaN, on zeros or on the wrong scale
reports no error and writes a file that is float or wrong.
"""

import itertools
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_ft.errors import InputError
from keras_ft.export.errors import RepresentativeDataError

MINIMUM = 32
# Enough for stable minima and maxima; also ends infinite datasets.
MAXIMUM = 512


def pixel_images(
    argument: str,
    source: Any,
    input_shape: tuple[int, ...],
    scaling: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Collect images as the exported file will be fed them.

    Args:
        argument: What the caller calls them, for the message.
        source: Pixel values 0..255: an array (N, H, W, C), or an iterable (or
            a callable returning one) of images, batches, or tuples that start
            with one. A `tf.data.Dataset` of floats holds what the student was
            trained on instead, and is taken back to pixels.
        input_shape: (H, W, C) of the student.
        scaling: `input = pixel * scale + shift`, or `None` where the student
            takes pixels.

    Returns:
        float32 pixel values, shape (N, H, W, C); at most 512 images where
        `source` is no array.

    Raises:
        RepresentativeDataError: Fewer than 32 images, or ones of another
            shape, type or range, or not finite, or all of one value.
    """
    expected = (
        f"at least {MINIMUM} images of shape {input_shape} with pixel values "
        "0..255"
    )
    try:
        images = _stack(source)
    except (TypeError, ValueError) as error:
        raise RepresentativeDataError(
            argument, error, expected, "Give one array (N, H, W, C)."
        ) from error
    is_dataset = hasattr(source, "element_spec")
    if images.dtype.kind == "f" and scaling is not None and is_dataset:
        images = (images - scaling[1]) / scaling[0]
    problem = _problem(images, input_shape)
    if problem is not None:
        received, fix = problem
        raise RepresentativeDataError(argument, received, expected, fix)
    # Undoing a normalization leaves rounding errors at both ends.
    return np.clip(images.astype(np.float32), 0.0, 255.0)


def _stack(source: Any) -> np.ndarray:
    if hasattr(source, "__array__"):
        return np.asarray(source)
    source = source() if callable(source) else source
    images = list(itertools.islice(_images(source), MAXIMUM))
    return np.stack(images) if images else np.zeros((0,), np.float32)


def _images(source: Iterable[Any]) -> Iterator[np.ndarray]:
    for item in source:
        if isinstance(item, tuple | list):
            item = item[0]
        image = np.asarray(item)
        if image.ndim == 4:
            yield from image
        else:
            yield image


def _problem(
    images: np.ndarray, input_shape: tuple[int, ...]
) -> tuple[str, str] | None:
    """Return what was received and how to fix it, or None."""
    if len(images) < MINIMUM:
        return f"{len(images)} images", "Give a few hundred real images."
    if images.dtype.kind not in "uif":
        return f"dtype {images.dtype}", "Give uint8 or float32 arrays."
    if images.shape[1:] != tuple(input_shape):
        shape = f"images of shape {images.shape[1:]}"
        return shape, "Resize them as they were for training."
    if not np.isfinite(images).all():
        count = int(np.sum(~np.isfinite(images).all(axis=(1, 2, 3))))
        return f"NaN or infinity in {count} images", "Remove those images."
    low, high = float(images.min()), float(images.max())
    received = f"values from {low:.4g} to {high:.4g}"
    if low == high:
        return received, "Give real images; these are all of one value."
    if low < -0.01 or high > 255.01:
        fix = "Give pixels before normalization, or pass `normalization`."
        return received, fix
    if high <= 1.0:
        return received, "Multiply them by 255; the file takes 0..255."
    return None


def pixel_scaling(
    normalization: Any, channels: int
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return the scale and shift of `input = pixel * scale + shift`.

    Args:
        normalization: Such as `data.normalization`, or `None`.
        channels: Of the student's images.

    Returns:
        Two arrays, of one number or one for each channel; `None` where the
        student takes pixels.

    Raises:
        InputError: It is for another number of channels.
    """
    if normalization is None:
        return None
    scale, shift = normalization.scale_and_shift()
    if {np.size(scale), np.size(shift)} - {1, channels}:
        raise InputError(
            "normalization",
            normalization,
            f"a mean and a deviation for each of {channels} channels",
            "Pass data.normalization of the data the student was trained on.",
        )
    return scale, shift
