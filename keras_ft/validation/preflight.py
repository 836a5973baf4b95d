"""Checks of models and data before the first training step.

Only what can be looked at without consuming anything is looked at here:
declared shapes, whole arrays, weights. Values inside a `tf.data` stream are
checked within the training step, before its first update (`guards`).
"""

import contextlib
import re
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ft.errors import InputError

MARK = "keras_ft: "


def check_model(argument: str, model: Any) -> None:
    """Refuses anything but a built Keras 3 model with one input."""
    if not isinstance(model, keras.Model):
        raise InputError(
            argument,
            f"a {type(model).__name__} from {type(model).__module__}",
            "a Keras 3 model (keras.Model)",
            "Load it with keras.models.load_model.",
        )
    if not model.built:
        raise InputError(
            argument,
            f"'{model.name}', which was never built",
            "a built model",
            "Start it with keras.Input(shape), or call it on a batch once.",
        )


def check_pair(teacher: keras.Model, student: keras.Model) -> None:
    """Refuses pairs that cannot see the same images or share weights."""
    check_model("teacher", teacher)
    check_model("student", student)
    teacher_ids = {id(variable) for variable in teacher.variables}
    shared = [v for v in student.variables if id(v) in teacher_ids]
    if teacher is student or shared:
        raise InputError(
            "student",
            f"'{student.name}', which shares weights with the teacher",
            "two models with weights of their own",
            "Copy one of them with keras.models.clone_model.",
        )
    shapes = [input_shape(model) for model in (teacher, student)]
    if None not in shapes and not _compatible(*shapes):
        raise InputError(
            "student",
            f"input shape {shapes[1]}",
            f"the teacher's, {shapes[0]}",
            "Both networks see the same batch: build them for the same "
            "image size and channels.",
        )


def check_finite(argument: str, model: keras.Model) -> None:
    """Refuses models with NaN or infinite weights."""
    for variable in model.variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        if not bool(ops.all(ops.isfinite(variable.value))):
            raise InputError(
                argument,
                f"NaN or infinity in '{variable.path}'",
                "finite weights",
                "Load the model again from a sound checkpoint; training "
                "against it would destroy the student.",
            )


def check_trainable(before: dict[int, str], now: dict[int, str]) -> None:
    """Refuses no trainable weights, or others than the traced step's.

    Args:
        before: Path of each weight by the variable's id, when traced.
        now: The same for this moment.
    """
    if not now:
        raise InputError(
            "trainable",
            "a model without trainable weights",
            "at least one",
            "Set trainable = True on what is to be trained and call "
            "compile() again.",
        )
    both = {**before, **now}
    changed = sorted(both[key] for key in before.keys() ^ now.keys())
    if before and changed:
        raise InputError(
            "trainable",
            f"a change since training began of {', '.join(changed[:3])}"
            + (f" and {len(changed) - 3} more" if len(changed) > 3 else ""),
            "the trainable weights that training began with",
            "Call compile() again; the traced step would go on with the old "
            "set without a word.",
        )


def check_data(model: keras.Model, x: Any, y: Any = None) -> None:
    """Refuses missing or empty data and images the model cannot take."""
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
    images, labels = element_shapes(x, y)
    if images is not None:
        _check_images(model, images)
    _check_finite_array("x", x)
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
    if len(shape) != len(wanted) or not _compatible(shape[1:], wanted[1:]):
        hint = (
            "Batch the dataset first: dataset.batch(128)."
            if len(shape) == len(wanted) - 1
            else "Resize the images or rebuild the models for their shape."
        )
        raise InputError("x", f"images of shape {shape}", f"{wanted}", hint)


def _check_finite_array(argument: str, array: Any) -> None:
    """Refuses NaN and infinity in a whole array.

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
        raise InputError(
            argument,
            "a value that is NaN or infinite",
            "finite values",
            "Nothing was updated. Look for broken images, or for a division "
            "by a standard deviation of 0.",
        )


def data_size(x: Any) -> int | None:
    """Elements or batches of the data; None when that is not known."""
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
    """Declared batch shapes of images and labels, None where unknown."""
    if hasattr(x, "element_spec"):
        spec = x.element_spec
        parts = spec if isinstance(spec, tuple) else (spec,)
    elif isinstance(x, keras.utils.PyDataset):
        batch = x[0]
        parts = batch if isinstance(batch, tuple) else (batch,)
    else:
        parts = (x, y)
    shapes = [_shape(part) for part in (*parts, None)[:2]]
    return shapes[0], shapes[1]


def _shape(part: Any) -> tuple[int | None, ...] | None:
    if isinstance(part, dict):
        # A batch that carries the teacher's outputs beside its images.
        part = part.get("images")
    shape = getattr(part, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        return None
    return tuple(shape)


def input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Declared shape of a model's one input, batch first; None if unknown."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        return tuple(inputs[0].shape) if len(inputs) == 1 else None
    # A subclassed model remembers what it was built with or called on.
    built = (model.get_build_config() or {}).get("input_shape")
    return (None, *built[1:]) if isinstance(built, (tuple, list)) else None


def _compatible(one: Any, other: Any) -> bool:
    return len(one) == len(other) and all(
        a is None or b is None or a == b
        for a, b in zip(one, other, strict=True)
    )


@contextlib.contextmanager
def explained_errors() -> Iterator[None]:
    """Turns a failed check inside a TensorFlow graph into an `InputError`.

    The graph can only say what it found in one string, which starts with our
    mark; TensorFlow's own trace around it is dropped.
    """
    try:
        yield
    except Exception as error:
        found = re.search(
            re.escape(MARK) + r"(\w+)\|(.*?)\|(.*?)\|(.*?)\|", str(error), re.S
        )
        if type(error).__name__ != "InvalidArgumentError" or not found:
            raise
        raise InputError(*found.groups()) from None
