"""Does the file say what Keras says?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ft.export.export_error import ExportError
from keras_ft.export.quantization import QUANTIZATIONS

# On probabilities; a faithful float file differs by about 1e-7.
FLOAT_TOLERANCE = 1e-4
_UPPER = ("max_error", "accuracy_drop")
# Two classes this close are a tie that rounding decides.
_TIE = 1e-6
# Fewer images than this are lost by chance: of 500, half a point is 2.5.
_CHANCE = 2


class ParityError(ExportError):
    """The file ran, but does not agree with Keras.

    Args:
        metric: `"agreement"`, `"max_error"`, `"accuracy_drop"` or `"finite"`.
        measured: Its value over the samples.
        limit: What it had to reach, or stay below.
        worst: Index of the worst sample.
        detail: What both say about that sample.
        fix: The remedy.

    Example:

    >>> raise keras_ft.export.ParityError(
    ...     "agreement", 0.65, 0.95, 17, "0 instead of 3", "Use float16.")
    Traceback (most recent call last):
    keras_ft.export.ParityError: Invalid `student`. Received: ...
    """

    def __init__(
        self,
        metric: str,
        measured: float,
        limit: float,
        worst: int,
        detail: str,
        fix: str,
    ) -> None:
        bound = "at most" if metric in _UPPER else "at least"
        super().__init__(
            "student",
            f"a file whose {metric} with Keras is {measured:.4g}, worst at "
            f"sample {worst}: {detail}",
            f"{metric} of {bound} {limit:.4g}",
            fix,
        )
        self.metric = metric
        self.measured = measured
        self.limit = limit
        self.worst = worst
        self._parts = (metric, measured, limit, worst, detail, fix)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._parts


def check_parity(
    expected: np.ndarray,
    received: np.ndarray,
    quantization: str,
    min_agreement: float | None = None,
    class_names: Sequence[str] | None = None,
    *,
    labels: np.ndarray | None = None,
    max_accuracy_drop: float | None = None,
    diagnosis: str = "",
) -> tuple[float, float]:
    """Compare probabilities, and refuse what differs too much.

    Args:
        expected: Keras' probabilities, shape (N, classes).
        received: LiteRT's, same shape.
        quantization: Decides the limits: without one, every top-1 class is
            the same and no probability differs by more than 1e-4.
        min_agreement: Share, 0..1, of samples with the same top-1 class;
            `None` for the limit of the quantization.
        class_names: For the message.
        labels: Class of each sample, shape (N,).
        max_accuracy_drop: By how much accuracy, 0..1, may fall; `None` for
            the limit of the quantization. Two samples may always be lost.
        diagnosis: A sentence for the message: why the file may fall short.

    Returns:
        Agreement (share of samples with the same top-1 class) and largest
        difference of any probability, both 0..1.

    Raises:
        ParityError: Below the limit; names the worst sample and a remedy.

    Example:

    >>> check_parity(np.array([[0.1, 0.9]]), np.array([[0.2, 0.8]]), "int8")
    (1.0, 0.1)
    """
    kind = QUANTIZATIONS[quantization]
    if min_agreement is None:
        min_agreement = kind.min_agreement
    if max_accuracy_drop is None:
        max_accuracy_drop = kind.max_accuracy_drop
    same = same_class(expected, received)
    errors = np.abs(expected - received).max(axis=-1)
    finite = np.isfinite(received).all(axis=-1)

    def refuse(metric: str, value: float, limit: float, worst: int) -> None:
        detail = _detail(expected[worst], received[worst], class_names)
        fix = diagnosis + kind.remedy
        raise ParityError(metric, value, limit, worst, detail, fix)

    if not finite.all():
        share = float(finite.mean())
        refuse("finite", share, 1.0, int(np.argmin(finite)))
    agreement, max_error = float(same.mean()), float(errors.max())
    if quantization == "none" and max_error > FLOAT_TOLERANCE:
        refuse("max_error", max_error, FLOAT_TOLERANCE, int(errors.argmax()))
    worst = int(np.argmax(np.where(same, -1.0, errors)))
    if agreement < min_agreement:
        refuse("agreement", agreement, min_agreement, worst)
    if labels is not None:
        lost = _right(expected, labels) - _right(received, labels)
        if lost > max(_CHANCE, max_accuracy_drop * len(labels)):
            drop = lost / len(labels)
            refuse("accuracy_drop", drop, max_accuracy_drop, worst)
    return agreement, max_error


def same_class(expected: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Whether each sample's top-1 class is the same; a tie counts as such.

    Args:
        expected: Keras' probabilities, shape (N, classes).
        received: Another's probabilities or logits, same shape.

    Returns:
        Booleans, shape (N,).

    Example:

    >>> same_class(np.array([[0.1, 0.9]]), np.array([[0.2, 0.8]]))
    array([ True])
    """
    rows = np.arange(len(expected))
    top = expected[rows, np.argmax(received, axis=-1)]
    return np.asarray(top >= expected.max(axis=-1) - _TIE)


def _right(probabilities: np.ndarray, labels: np.ndarray) -> int:
    return int(np.sum(np.argmax(probabilities, axis=-1) == labels))


def _detail(
    expected: np.ndarray,
    received: np.ndarray,
    class_names: Sequence[str] | None,
) -> str:
    def says(probabilities: np.ndarray) -> str:
        top = int(np.argmax(probabilities))
        name = class_names[top] if class_names else f"class {top}"
        return f"{name} ({probabilities[top]:.3f})"

    return f"Keras says {says(expected)}, LiteRT says {says(received)}"
