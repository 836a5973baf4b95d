"""A weight for the factor term, from the gradients of one batch."""

import dataclasses
import math
from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.models.distiller import Distiller
from keras_ft.validation.parameters import Interval

# The official beta of 500 is 2.2 to 2.3 of this when ResNet-56 begins to teach
# ResNet-20 on CIFAR-10 (rate 0.5, batch 128).
RATIO = 2.0
_RATIO = Interval(float, 0, closed="neither", fix=f"Use {RATIO}.")
# float16 gradients of a mean over thousands of entries vanish unless the loss
# is scaled up; the largest of these powers of 2 that does not overflow is used.
_FLOAT16_SCALES = tuple(2.0**power for power in range(24, -1, -4))


@dataclasses.dataclass(frozen=True)
class BetaSuggestion:
    """A weight for a term, and the two gradients it follows from.

    Attributes:
        beta: `ratio * task_norm / term_norm`.
        ratio: Length of the weighted term's gradient over the task's.
        task_norm: Length of the task loss's gradient, `task_weight` included.
        term_norm: Length of the term's gradient, without beta.
        term: Name of the term.
        weights: Trainable tensors of the student that both reach.

    Example:

    >>> print(keras_ft.suggest_beta(model, images, labels))
    beta ...: 2 times the task's gradient at the ... weights before the tap
    (task ..., factor ...)
    """

    beta: float
    ratio: float
    task_norm: float
    term_norm: float
    term: str
    weights: int

    def __str__(self) -> str:
        return (
            f"beta {self.beta:.4g}: {self.ratio:g} times the task's gradient "
            f"at the {self.weights} weights before the tap (task "
            f"{self.task_norm:.3g}, {self.term} {self.term_norm:.3g})"
        )


def suggest_beta(
    model: Distiller,
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    ratio: float = RATIO,
    term: str = "factor",
) -> BetaSuggestion:
    """Measure the beta with which a term pulls `ratio` times as hard.

    How large the factor term is depends on the factor: as a mean over D
    entries of unit vectors it shrinks like `1/sqrt(D)`, so that 500 is one
    thing for 32x8x8 entries and another for any other rate or tap. Its
    gradient says what it does to the student. Both terms' gradients are taken
    for one batch, in training mode, with respect to the student's weights
    that both of them reach, those before the tap; beta makes the quotient of
    their lengths equal to `ratio`. The weights and not the features at the
    tap, because they are what is updated: after global pooling the task's
    gradient is equal at all positions and adds up in a kernel, the factor's
    is not.

    Nothing is changed: no weight, no moving average, no random state, no
    metric. The quotient is that of the student as it is now, and moves while
    it trains.

    Args:
        model: A compiled `FactorTransfer` or `Distiller`.
        x: One batch of images, or a `tf.data.Dataset` or `PyDataset` whose
            first batch is used. Batches of a `FeatureCache` serve as well.
        y: The batch's labels, where `x` is images.
        sample_weight: The batch's weights, if any.
        ratio: Above 0. 1 lets both pull equally hard; 2 is about what the
            official 500 does when ResNet-56 begins to teach ResNet-20.
        term: Name of the transfer that beta belongs to.

    Returns:
        A `BetaSuggestion`; it prints as a sentence.

    Raises:
        InputError: The model is not compiled, has no such term, the ratio is
            out of range, or a gradient is zero or not finite.

    Example:

    >>> model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    >>> model.compile("sgd", loss)
    >>> suggestion = keras_ft.suggest_beta(model, images[:128], labels[:128])
    >>> model.beta = suggestion.beta

    Reference:
        Chen et al. 2018, GradNorm, arXiv:1711.02257: tasks balanced by the
        lengths of their gradients at shared weights. Esser et al. 2021,
        arXiv:2012.09841: a weight that is a quotient of two such lengths.
    """
    _RATIO.check("ratio", ratio)
    _check_model(model, term)
    if y is None:
        x, y, sample_weight = _first_batch(x)
    model.check(x, y)

    def task_loss(outputs: Any, terms: dict[str, Any]) -> Any:
        # As in training it would ask for the terms as well.
        whole = model.compute_loss(x, y, outputs, sample_weight, training=False)
        return whole - sum(model.losses)

    def term_loss(outputs: Any, terms: dict[str, Any]) -> Any:
        return losses.batch_mean(terms[term], sample_weight)

    pulled = _student_gradients(model, x, term_loss, term)
    pushed = _student_gradients(model, x, task_loss, "task")
    # JAX knows no "not connected": what a term does not reach is zero.
    reached = [i for i, gradient in enumerate(pulled) if gradient.any()]
    term_norm = _length(pulled[i] for i in reached)
    task_norm = _length(pushed[i] for i in reached)
    for name, norm in ((term, term_norm), ("task", task_norm)):
        if norm == 0.0:
            raise InputError(
                f"On this batch the gradient of the {name} loss is 0. Use "
                "another batch, or set beta yourself."
            )
    beta = ratio * task_norm / term_norm
    return BetaSuggestion(beta, ratio, task_norm, term_norm, term, len(reached))


def check_ratio(argument: str, ratio: float) -> None:
    """Refuse what is no ratio of two lengths."""
    _RATIO.check(argument, ratio)


def _check_model(model: Any, term: str) -> None:
    if not isinstance(model, Distiller):
        raise InputError(
            "model",
            f"a {type(model).__name__}",
            "a compiled keras_ft.FactorTransfer or Distiller",
            "Wrap teacher and student in one.",
        )
    known = [transfer.name for transfer in model.transfers]
    if term not in known:
        raise InputError(
            "term", repr(term), f"one of {', '.join(known)}", "Name a transfer."
        )


def _first_batch(data: Any) -> tuple[Any, Any, Any]:
    indexed = isinstance(data, keras.utils.PyDataset)
    batch = data[0] if indexed else next(iter(data))
    x, y, weights = keras.utils.unpack_x_y_sample_weight(batch)
    return x, y, weights


def _student_gradients(
    model: Distiller, x: Any, loss: Callable[[Any, Any], Any], name: str
) -> list[np.ndarray]:
    """Return a loss's gradients by the student's weights, in float64."""
    variables = model.student.trainable_variables
    # Only what is used within is changed; the scope forgets the rest.
    values = [ops.convert_to_tensor(variable.value) for variable in variables]
    half = model.compute_dtype == "float16"
    for scale in _FLOAT16_SCALES if half else (1.0,):

        def scaled(values: list[Any], scale: float = scale) -> Any:
            mapping = list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping):
                return loss(*model.outputs_and_terms(x, True)) * scale

        found = [
            np.asarray(ops.convert_to_numpy(gradient), np.float64) / scale
            for gradient in _gradients(scaled, values)
        ]
        if all(np.isfinite(gradient).all() for gradient in found):
            return found
    raise InputError(
        f"On this batch the gradient of the {name} loss is not finite. Look "
        "for broken images or a student with infinite weights."
    )


def _gradients(
    function: Callable[[list[Any]], Any], values: list[Any]
) -> list[Any]:
    """Return how a scalar changes with each tensor; 0 where it does not.

    Args:
        function: Maps the list of tensors to a scalar, without side effect.
        values: Float tensors of the current backend.
    """
    return list(_OF_BACKEND[keras.backend.backend()](function, values))


def _tensorflow(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        result = function(values)
    return tape.gradient(result, values, unconnected_gradients="zero")


def _jax(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import jax

    return jax.grad(function)(values)


def _torch(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import torch

    leaves = [value.detach().requires_grad_() for value in values]
    result = function(leaves)
    return torch.autograd.grad(result, leaves, materialize_grads=True)


_OF_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}


def _length(gradients: Iterable[np.ndarray]) -> float:
    return math.sqrt(sum(float(np.sum(np.square(g))) for g in gradients))
