"""Does the file say what Keras says?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ft.export.export_error import ExportError

# On probabilities; a faithful float file differs by about 1e-7.
FLOAT_TOLERANCE = 1e-4
# Two classes this close are a tie that rounding decides.
_TIE = 1e-6
MIN_AGREEMENT = {"none": 1.0, "float16": 0.99, "dynamic": 0.97, "int8": 0.95}

_REMEDY = {
    "none": "Rebuild the student from standard layers: LiteRT computes one of "
    "its layers differently.",
    "float16": 'Use quantization="none": a value lies outside what float16 '
    "can hold.",
    "dynamic": 'Use quantization="float16": its weights spread too widely for '
    "8 bits.",
    "int8": "Give more calibration images, of the kind the app will see, or "
    'use quantization="dynamic", which keeps activations in float.',
}


class ParityError(ExportError):
    """The file ran, but does not agree with Keras.

    Args:
        metric: `"agreement"`, `"max_error"` or `"finite"`.
        measured: Its value over the samples.
        limit: What it had to reach, or stay below.
        worst: Index of the worst sample.
        detail: What both say about that sample.
        fix: The remedy.

    Example:

    >>> raise ParityError("agreement", 0.65, 0.95, 17, "...", "Use float16.")
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
        bound = "at least" if metric != "max_error" else "at most"
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
) -> tuple[float, float]:
    """Compare probabilities, and refuse what differs too much.

    Args:
        expected: Keras' probabilities, shape (N, classes).
        received: LiteRT's, same shape.
        quantization: Decides the limits: without one, every top-1 class is
            the same and no probability differs by more than 1e-4.
        min_agreement: Share, 0..1, of samples with the same top-1 class;
            `None` for the limit of the quantisation.
        class_names: For the message.

    Returns:
        Agreement (share of samples with the same top-1 class) and largest
        difference of any probability, both 0..1.

    Raises:
        ParityError: Below the limit; names the worst sample and a remedy.

    Example:

    >>> check_parity(np.array([[0.1, 0.9]]), np.array([[0.2, 0.8]]), "int8")
    (1.0, 0.1)
    """
    if min_agreement is None:
        min_agreement = MIN_AGREEMENT[quantization]
    rows = np.arange(len(expected))
    same = expected[rows, np.argmax(received, axis=-1)] >= (
        expected.max(axis=-1) - _TIE
    )
    errors = np.abs(expected - received).max(axis=-1)
    finite = np.isfinite(received).all(axis=-1)

    def refuse(metric: str, value: float, limit: float, worst: int) -> None:
        detail = _detail(expected[worst], received[worst], class_names)
        fix = _REMEDY[quantization]
        raise ParityError(metric, value, limit, worst, detail, fix)

    if not finite.all():
        share = float(finite.mean())
        refuse("finite", share, 1.0, int(np.argmin(finite)))
    agreement, max_error = float(same.mean()), float(errors.max())
    if quantization == "none" and max_error > FLOAT_TOLERANCE:
        refuse("max_error", max_error, FLOAT_TOLERANCE, int(errors.argmax()))
    if agreement < min_agreement:
        worst = int(np.argmax(np.where(same, -1.0, errors)))
        refuse("agreement", agreement, min_agreement, worst)
    return agreement, max_error


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
