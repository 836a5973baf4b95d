"""Check images, and how many labels there are, before the first step.

Only what can be looked at without consuming anything is looked at here:
declared shapes and whole arrays. The values inside a `tf.data` stream are
checked within the training step, before its first update (`in_graph`).
"""

from typing import Any

import keras
import numpy as np

from keras_ft.errors import InputError
from keras_ft.validation.models import fit_together
from keras_ft.validation.models import input_shape

_MOST_PARTS = 3


def check_data(model: keras.Model, x: Any, y: Any = None) -> None:
    """Refuse missing or empty data and images the model cannot take.

    Args:
        model: What the images are for.
        x: Images, or a dataset of (images, labels).
        y: Labels as an array, or None.
    """
    if x is None:
        raise InputError(
            "x",
            None,
            "images, a tf.data.Dataset or a PyDataset",
            "Pass the training data: fit(data.train).",
        )
    if data_size(x) == 0:
        raise InputError(
            "x",
            "an empty dataset",
            "at least one batch",
            "Check the split's name and whether drop_remainder removed the "
            "only batch.",
        )
    _check_parts(x, y)
    images, labels = element_shapes(x, y)
    if images is not None:
        _check_images(model, images)
    _check_finite(x)
    if images and labels and images[0] and labels[0] and images[0] != labels[0]:
        raise InputError(
            "y",
            f"{labels[0]} labels for {images[0]} images",
            "one per image",
            "Pass images and labels of the same length.",
        )


def _check_images(model: keras.Model, shape: tuple[int | None, ...]) -> None:
    wanted = input_shape(model)
    if wanted is None:
        return
    if len(shape) != len(wanted) or not fit_together(shape[1:], wanted[1:]):
        hint = (
            "Batch the dataset first: dataset.batch(128)."
            if len(shape) == len(wanted) - 1
            else "Resize the images or rebuild the models for their shape."
        )
        raise InputError("x", f"images of shape {shape}", f"{wanted}", hint)


def _check_finite(array: Any) -> None:
    """Refuse NaN and infinity in a whole array.

    Only TensorFlow's uncompiled steps can look at values themselves: other
    backends cannot stop, and XLA drops assertions without a word. A file
    mapped into memory would be read entirely, and is left alone.
    """
    if not isinstance(array, np.ndarray) or isinstance(array, np.memmap):
        return
    if not np.issubdtype(array.dtype, np.floating):
        return
    # NaN and infinity survive both, and nothing of the array's size is made.
    if not np.all(np.isfinite([array.min(), array.max()])):
        raise not_finite("x")


def not_finite(argument: str) -> InputError:
    """Return the error for data with NaN or infinity in it."""
    return InputError(
        argument,
        "a value that is NaN or infinite",
        "finite values",
        "This batch updated nothing. Look for broken images, or for a division "
        "by a standard deviation of 0.",
    )


def data_size(x: Any) -> int | None:
    """Return the number of elements or batches; None where unknown."""
    if hasattr(x, "cardinality"):
        size = x.cardinality
        # A property of distributed datasets.
        size = int(size() if callable(size) else size)
        return size if size >= 0 else None
    try:
        return len(x)
    except TypeError:
        return None


def element_shapes(
    x: Any, y: Any
) -> tuple[tuple[int | None, ...] | None, tuple[int | None, ...] | None]:
    """Return the declared batch shapes of images and labels, or None."""
    shapes = [_shape(part) for part in (*_parts(x, y), None)[:2]]
    return shapes[0], shapes[1]


def _parts(x: Any, y: Any) -> tuple[Any, ...]:
    """Return what a batch consists of, as declared or as an example."""
    if hasattr(x, "element_spec"):
        batch = x.element_spec
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
    else:
        return x, y
    return batch if isinstance(batch, tuple) else (batch,)


def _check_parts(x: Any, y: Any) -> None:
    """Refuse batches of more than three parts and parts without numbers."""
    parts = _parts(x, y)
    if len(parts) > _MOST_PARTS:
        raise InputError(
            "x",
            f"batches of {len(parts)} parts",
            "(images, labels) or (images, labels, sample_weight)",
            "Drop the others: dataset.map(lambda *parts: parts[:2]).",
        )
    for argument, part in zip(("x", "y", "sample_weight"), parts, strict=False):
        if (kind := _not_numbers(part)) is not None:
            raise InputError(
                argument,
                f"values of type {kind}",
                "real numbers",
                "Number the classes from 0: np.unique(labels, "
                "return_inverse=True)[1]."
                if argument == "y"
                else "Convert them with astype('float32').",
            )


def _not_numbers(part: Any) -> str | None:
    """Return the type of text, objects, complex numbers or times, or None."""
    dtype = getattr(part, "dtype", None)
    try:
        found = np.dtype(getattr(dtype, "as_numpy_dtype", dtype))
    except TypeError:  # of another library
        return None
    return str(dtype) if dtype is not None and found.kind in "OUScMm" else None


def _shape(part: Any) -> tuple[int | None, ...] | None:
    if isinstance(part, dict):
        # A batch that carries the teacher's outputs beside its images.
        part = part.get("images")
    shape = getattr(part, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        return None
    return tuple(shape)
