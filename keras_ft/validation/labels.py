"""Check labels and loss against the student's outputs."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_ft import heads
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
_ON_NUMBERS = (
    "meansquarederror",
    "meanabsoluteerror",
    "meanabsolutepercentageerror",
    "meansquaredlogarithmicerror",
    "huber",
    "logcosh",
    "poisson",
)
_BINARY = ("binarycrossentropy", "binaryfocalcrossentropy")


def is_sparse(loss: Any) -> bool | None:
    """Return True for class indices, False for one-hot, None otherwise."""
    if isinstance(loss, keras.losses.SparseCategoricalCrossentropy):
        return True
    if isinstance(loss, keras.losses.CategoricalCrossentropy):
        return False
    if loss in ("sparse_categorical_crossentropy", "categorical_crossentropy"):
        return bool(loss == "sparse_categorical_crossentropy")
    return None


def is_binary(loss: Any) -> bool:
    """Return whether a loss takes each output for a yes or no of its own.

    Args:
        loss: A compiled loss; also in a list or dictionary of one.
    """
    return _loss_name(loss) in _BINARY


def loss_activation(loss: Any) -> str | None:
    """Return what a compiled loss makes probabilities of logits with.

    Returns:
        `"softmax"` or `"sigmoid"` for a cross-entropy, `"linear"` for a loss
        on numbers; None for none and for any other, such as one of the user's.
    """
    if is_binary(loss):
        return "sigmoid"
    name = _loss_name(loss)
    if name.endswith("crossentropy"):
        return "softmax"
    return "linear" if name in _ON_NUMBERS else None


def _loss_name(loss: Any) -> str:
    """Return the name of a loss's class or function, as one word."""
    loss = _only(loss)
    if isinstance(loss, str):
        loss = keras.losses.get(loss)
    # `tf_keras` has classes of the same names.
    name = getattr(loss, "__name__", type(loss).__name__)
    return str(name).replace("_", "").lower()


def _only(loss: Any) -> Any:
    """Return the loss of a list or dictionary of one, others as they are."""
    if isinstance(loss, (list, tuple, dict)) and len(loss) == 1:
        (loss,) = loss.values() if isinstance(loss, dict) else loss
    return loss


def cross_entropy(
    data: Any,
    unlabelled: int | None = None,
    network: keras.Model | None = None,
    class_weights: Sequence[float] | None = None,
) -> keras.losses.Loss:
    """Return the loss that fits the labels of a dataset.

    Args:
        data: Gives (images, labels). Labels of shape (B, classes) are taken
            for rows of probabilities, others for class indices.
        unlabelled: The class index of images without a label, if any.
        network: What is to be trained; the loss is on logits unless it ends
            in a softmax or sigmoid.
        class_weights: What each class's labels count, by index; `None` for
            1 each.
    """
    _, labels = element_shapes(data, None)
    logits = network is None or heads.output_activation(network) is None
    if labels is not None and len(labels) == 2 and labels[1] != 1:
        if class_weights is not None:
            return losses.ClassWeightedCrossentropy(
                class_weights, from_logits=logits
            )
        return keras.losses.CategoricalCrossentropy(from_logits=logits)
    if class_weights is not None:
        return losses.ClassWeightedSparseCrossentropy(
            class_weights, from_logits=logits, ignore_class=unlabelled
        )
    return keras.losses.SparseCategoricalCrossentropy(
        from_logits=logits, ignore_class=unlabelled
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
        loss: The compiled loss; others than cross-entropies, binary ones
            among them, are not checked.
        x: Images, or a dataset of (images, labels).
        y: Labels as an array, or None. Arrays are checked entirely, streams
            by their declared shape here and by value within the step.

    Raises:
        InputError: No labels, one-hot labels for a sparse loss or the
            reverse, labels of another size than the outputs, class indices
            out of range, labels outside of 0..1 for a binary loss, or a loss
            with or without `from_logits` for the other kind of outputs.
    """
    _check_present(loss, x, y)
    sparse, binary = is_sparse(loss), is_binary(loss)
    if (sparse is None and not binary) or not classes(student):
        return
    _check_logits(student, loss)
    _, labels = element_shapes(x, y)
    if sparse is None:
        if labels is not None:
            _check_binary_shape(labels, student.output_shape)
        if y is not None:
            _check_shares(np.asarray(y))
        return
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
    activation = heads.output_activation(student)
    from_logits = bool(getattr(_only(loss), "from_logits", False))
    if activation and from_logits:
        raise InputError(
            "loss",
            f"from_logits=True for '{student.name}', which ends in a "
            f"{activation}",
            "logits, or a loss on probabilities",
            f"Remove the {activation} from the student, or use "
            "from_logits=False.",
        )
    if _is_linear(student) and not from_logits:
        raise InputError(
            "loss",
            f"a loss on probabilities for '{student.name}', whose last layer "
            "has no activation",
            "a loss on logits",
            "Use keras.losses.SparseCategoricalCrossentropy(from_logits=True), "
            "or its categorical or binary sister; a loss given by name expects "
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


def _check_binary_shape(shape: Shape, output: Shape) -> None:
    fits = fit_together(shape[1:], output[1:]) or (
        output[-1] == 1 and fit_together(shape[1:], output[1:-1])
    )
    if not fits:
        raise InputError(
            "y",
            f"labels of shape {shape} for a binary loss and outputs of shape "
            f"{_written(output)}",
            f"0 or 1 for each output, of shape {_written(output)}",
            "Give a row of zeros and ones per image; for class indices use "
            "keras.losses.SparseCategoricalCrossentropy(from_logits=True).",
        )


def _check_shares(labels: Any) -> None:
    """Refuse labels of a binary loss that are no shares."""
    if labels.size and not (labels.min() >= 0 and labels.max() <= 1):
        raise InputError(
            "y",
            f"labels from {labels.min()} to {labels.max()} for a binary loss",
            "0 for no and 1 for yes, or something between",
            "For class indices use keras.losses."
            "SparseCategoricalCrossentropy(from_logits=True).",
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
    # NaN is neither.
    if not (low >= 0 and high < classes):
        raise out_of_range(f"from {low} to {high}", classes)
    if not np.array_equal(labels, np.floor(labels)):
        raise out_of_range("that are no whole numbers", classes)


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
