"""Check labels and loss against the student's outputs."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.validation.data import element_shapes
from keras_ft.validation.models import fit_together

Shape = tuple[int | None, ...]

# Layers that give each class a score.
_SCORING = (
    keras.layers.Conv2D,
    keras.layers.Conv2DTranspose,
    keras.layers.Dense,
)


def is_sparse(loss: Any) -> bool | None:
    """Return True for class indices, False for one-hot, None otherwise."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return True
    if isinstance(loss, keras.losses.CategoricalCrossentropy):
        return False
    if loss in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        return bool(loss == "sparse_categorical_crossentropy")
    return None


def cross_entropy(
    data: Any,
    unlabelled: int | None = None,
    class_weights: Sequence[float] | None = None,
) -> keras.losses.Loss:
    """Return the loss, on logits, that fits the labels of a dataset.

    Args:
        data: Gives (images, labels). Labels of shape (B, classes) are taken
            for rows of probabilities, others for class indices.
        unlabelled: The class index of images without a label, if any.
        class_weights: What each class's labels count, by index; `None` for
            1 each.
    """
    _, labels = element_shapes(data, None)
    if labels is not None and len(labels) == 2 and labels[1] != 1:
        if class_weights is not None:
            return losses.ClassWeightedCrossentropy(
                class_weights, from_logits=True
            )
        return keras.losses.CategoricalCrossentropy(from_logits=True)
    if class_weights is not None:
        return losses.ClassWeightedSparseCrossentropy(
            class_weights, from_logits=True, ignore_class=unlabelled
        )
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=unlabelled
    )


def ignored(loss: Any) -> int | None:
    """Return the label that a sparse loss leaves out, or None."""
    return getattr(loss, "ignore_class", None)


def known_labels(y: Any, loss: Any) -> Any:
    """Return which labels a loss counts; `None` if it counts all.

    A sparse loss leaves out its `ignore_class`, a categorical one rows of
    zeros.

    Args:
        y: Class indices (batch, ...) or (batch, ..., 1), or rows of
            probabilities (batch, ..., classes).
        loss: The compiled loss.

    Returns:
        Booleans (batch, ...).
    """
    if y is None:
        return None
    if is_sparse(loss) is False:
        return keras.ops.any(keras.ops.not_equal(y, 0), axis=-1)
    without = ignored(loss)
    if without is None:
        return None
    y = keras.ops.convert_to_tensor(y)
    if len(y.shape) > 1 and y.shape[-1] == 1:
        y = keras.ops.squeeze(y, -1)
    return keras.ops.not_equal(y, keras.ops.cast(without, y.dtype))


def classes(student: Any) -> int | None:
    """Return the classes of an output (batch, ..., classes), or None."""
    shape = getattr(student, "output_shape", None)
    if not isinstance(shape, tuple) or len(shape) < 2:
        return None
    return shape[-1]


def check_labels_fit(student: keras.Model, loss: Any, x: Any, y: Any) -> None:
    """Refuse labels, or a loss, that do not fit a classifying student.

    Args:
        student: It must have one output for any check to run: (batch,
            classes), or (batch, height, width, classes) for a class per pixel.
        loss: The compiled loss; others than cross-entropies are not checked.
        x: Images, or a dataset of (images, labels).
        y: Labels as an array, or None. Arrays are checked entirely, streams
            by their declared shape here and by value within the step.

    Raises:
        InputError: No labels, one-hot labels for a sparse loss or the
            reverse, labels of another size than the outputs, class indices
            out of range, or a loss with or without `from_logits` for the
            other kind of outputs.
    """
    _check_present(loss, x, y)
    sparse = is_sparse(loss)
    if sparse is None or not classes(student):
        return
    _check_logits(student, loss)
    _, labels = element_shapes(x, y)
    if labels is not None:
        _check_shape(labels, student.output_shape, sparse)
    if sparse and y is not None:
        _check_range(np.asarray(y), student.output_shape[-1], ignored(loss))


def _check_present(loss: Any, x: Any, y: Any) -> None:
    images, labels = element_shapes(x, y)
    if loss is None or images is None or labels is not None or y is not None:
        return
    if hasattr(x, "element_spec"):
        spec = x.element_spec
        if isinstance(spec, tuple) and len(spec) > 1:
            return
    raise InputError(
        "y",
        "no labels",
        "labels for the compiled loss",
        "Pass fit(images, labels) or a dataset of pairs; to train without "
        "labels, compile(optimizer) without a loss.",
    )


def _check_logits(student: keras.Model, loss: Any) -> None:
    softmax = ends_in_softmax(student)
    from_logits = bool(getattr(loss, "from_logits", False))
    if softmax and from_logits:
        raise InputError(
            "loss",
            f"from_logits=True for '{student.name}', which ends in a softmax",
            "logits, or a loss on probabilities",
            "Remove the softmax from the student, or use from_logits=False.",
        )
    if _is_linear(student) and not from_logits:
        raise InputError(
            "loss",
            f"a loss on probabilities for '{student.name}', whose last layer "
            "has no activation",
            "a loss on logits",
            "Use keras.losses.SparseCategoricalCrossentropy(from_logits=True) "
            "or its categorical sister; a loss given by name expects "
            "probabilities.",
        )


def _check_shape(shape: Shape, output: Shape, sparse: bool) -> None:
    places, count = output[:-1], output[-1] or 0
    one_hot = count > 1 and fit_together(shape[1:], output[1:])
    indices = fit_together(shape[1:], places[1:]) or fit_together(
        shape[1:], (*places[1:], 1)
    )
    if sparse and one_hot:
        raise InputError(
            "y",
            f"one-hot labels of shape {shape} for a sparse loss",
            f"class indices of shape {_written(places)}",
            "Use keras.losses.CategoricalCrossentropy(from_logits=True), or "
            "labels.argmax(axis=-1).",
        )
    if sparse and not indices:
        raise InputError(
            "y",
            f"labels of shape {shape} for outputs of shape {_written(output)}",
            f"class indices of shape {_written(places)}",
            "Give one class index for each place of the student's outputs.",
        )
    if not sparse and not one_hot:
        raise InputError(
            "y",
            f"labels of shape {shape} for a categorical loss",
            f"one-hot labels of shape {_written(output)}",
            "Use keras.losses.SparseCategoricalCrossentropy(from_logits=True) "
            "for class indices.",
        )


def _written(shape: Shape) -> str:
    sizes = ", ".join("?" if n is None else str(n) for n in shape[1:])
    return f"(batch, {sizes})" if sizes else "(batch,)"


def _check_range(labels: Any, classes: int, ignored: int | None) -> None:
    if ignored is not None:
        given, labels = labels, labels[labels != ignored]
        if given.size and not labels.size:
            raise InputError(
                "y",
                f"{ignored} for every image",
                "labels for some of them",
                "To train without labels, compile(optimizer) without a loss.",
            )
    if labels.size == 0:
        return
    low, high = labels.min(), labels.max()
    if low < 0 or high >= classes:
        raise out_of_range(f"from {low} to {high}", classes)


def out_of_range(received: str, classes: int) -> InputError:
    """Return the error for class indices that the student does not have."""
    return InputError(
        "y",
        f"labels {received}",
        f"class indices from 0 to {classes - 1}",
        "Number the classes from 0 and give the student one output per class. "
        "Images without a label may have -1 if the loss is told so: "
        "keras.losses.SparseCategoricalCrossentropy(from_logits=True, "
        "ignore_class=-1).",
    )


def _is_linear(model: keras.Model) -> bool:
    layers = getattr(model, "layers", None)
    last = layers[-1] if layers else None
    return (
        isinstance(last, _SCORING)
        and last.activation is keras.activations.linear
    )


def ends_in_softmax(model: keras.Model) -> bool:
    """Return whether the last layer of a model applies a softmax."""
    layers = getattr(model, "layers", None)
    if not layers:
        return False
    last = layers[-1]
    if isinstance(last, keras.Model):
        return ends_in_softmax(last)
    activation = getattr(last, "activation", None)
    return (
        isinstance(last, keras.layers.Softmax)
        or activation is keras.activations.softmax
    )
