"""Does the file say what Keras says?"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ft.export.errors import ParityError
from keras_ft.export.quantizations import QUANTIZATIONS

# On probabilities; a faithful float file differs by about 1e-7.
FLOAT_TOLERANCE = 1e-4
# Two classes this close are a tie that rounding decides; of the many places
# of a picture some come as close as rounding errors go.
_TIE = 1e-6
_TIE_OF_PLACES = 1e-5
# Of values; less is no range but rounding.
_SMALLEST_RANGE = 1e-6
# Fewer images than this are lost by chance: of 500, half a point is 2.5.
_LOST_BY_CHANCE = 2


def check_parity(
    expected: np.ndarray,
    received: np.ndarray,
    quantization: str,
    *,
    min_agreement: float | None = None,
    max_accuracy_drop: float | None = None,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    hint: str = "",
    activation: str = "softmax",
) -> tuple[float, float]:
    """Compare probabilities, and refuse what differs too much.

    Args:
        expected: Keras' probabilities, shape (N, classes) or (N, ..., classes)
            for classes of each place.
        received: LiteRT's, same shape.
        quantization: Decides the limits: without one, every top-1 class is
            the same and no probability differs by more than 1e-4.
        min_agreement: Share, 0..1, of samples with the same top-1 class;
            `None` for the limit of the quantization.
        max_accuracy_drop: By how much accuracy, 0..1, may fall; `None` for
            the limit of the quantization. Two samples may always be lost.
        labels: Class of each sample, shape (N,), or of each place; for a
            sigmoid 0 or 1 for each probability.
        class_names: For the message.
        hint: Sentences for the message: why the file may fall short.
        activation: `"softmax"`, or `"sigmoid"` for a yes or no each.

    Returns:
        Agreement (share of samples with the same top-1 class, of places with
        it, or of probabilities on the same side of 0.5) and largest
        difference of any probability, both 0..1.

    Raises:
        ParityError: Below the limit; names the worst sample and a remedy.
    """
    kind = QUANTIZATIONS[quantization]
    if min_agreement is None:
        min_agreement = kind.min_agreement
    if max_accuracy_drop is None:
        max_accuracy_drop = kind.max_accuracy_drop
    samples, binary = len(expected), activation == "sigmoid"
    columns = 1 if binary else expected.shape[-1]
    # One row for each answer.
    expected = expected.reshape(-1, columns)
    received = received.reshape(-1, columns)
    if binary:
        same = _same_side(expected, received)
    else:
        tie = _TIE if len(expected) == samples else _TIE_OF_PLACES
        same = same_class(expected, received, tie)
    errors = np.abs(expected - received).max(axis=-1)
    finite = np.isfinite(received).all(axis=-1)

    def refuse(metric: str, value: float, limit: float, worst: int) -> None:
        detail = _detail(expected[worst], received[worst], class_names)
        fix = hint + kind.remedy
        sample = worst * samples // len(expected)
        raise ParityError(metric, value, limit, sample, detail, fix)

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
        labels = labels.reshape(-1)
        # In samples, of which each may have many answers.
        answers_lost = _right(expected, labels) - _right(received, labels)
        lost = answers_lost * samples / len(labels)
        if lost > max(_LOST_BY_CHANCE, max_accuracy_drop * samples):
            drop = lost / samples
            refuse("accuracy_drop", drop, max_accuracy_drop, worst)
    return agreement, max_error


def check_values(
    expected: np.ndarray, received: np.ndarray, quantization: str
) -> tuple[float, float]:
    """Compare outputs that are no probabilities, and refuse what differs.

    Args:
        expected: Keras' values, shape (N, ...).
        received: LiteRT's, same shape.
        quantization: Decides the limits: without one, 1e-4 for the largest
            error; else one for the mean.

    Returns:
        The mean and the largest absolute error, as shares of the range of
        Keras' values over all samples.

    Raises:
        ParityError: Above the limit; names the worst sample and a remedy.
    """
    kind = QUANTIZATIONS[quantization]
    finite = np.isfinite(received).reshape(len(received), -1).all(axis=1)
    extent = max(float(expected.max() - expected.min()), _SMALLEST_RANGE)
    errors = np.abs(expected - received) / extent
    per_sample = errors.reshape(len(errors), -1).max(axis=1)
    worst = int(np.argmax(np.where(finite, per_sample, np.inf)))
    mean_error, max_error = float(errors.mean()), float(per_sample.max())

    def refuse(metric: str, value: float, limit: float) -> None:
        place = np.unravel_index(np.argmax(errors[worst]), errors[worst].shape)
        detail = (
            f"Keras says {expected[worst][place]:.4g}, LiteRT says "
            f"{received[worst][place]:.4g}"
        )
        raise ParityError(metric, value, limit, worst, detail, kind.remedy)

    if not finite.all():
        refuse("finite", float(finite.mean()), 1.0)
    if quantization == "none" and max_error > FLOAT_TOLERANCE:
        refuse("max_error", max_error, FLOAT_TOLERANCE)
    if mean_error > kind.max_mean_error:
        refuse("mean_error", mean_error, kind.max_mean_error)
    return mean_error, max_error


def _same_side(expected: np.ndarray, received: np.ndarray) -> np.ndarray:
    """Return which probabilities are on one side of 0.5, or nearly at it."""
    same = (expected > 0.5) == (received > 0.5)
    return np.asarray(same | (np.abs(expected - 0.5) < _TIE)).reshape(-1)


def same_class(
    expected: np.ndarray, received: np.ndarray, tie: float = _TIE
) -> np.ndarray:
    """Return which samples have the same top-1 class; a tie counts as such.

    Args:
        expected: Keras' probabilities, shape (N, classes).
        received: Another's probabilities or logits, same shape.
        tie: Probabilities that differ by less are a tie.

    Returns:
        Booleans, shape (N,).
    """
    rows = np.arange(len(expected))
    top = expected[rows, np.argmax(received, axis=-1)]
    return np.asarray(top >= expected.max(axis=-1) - tie)


def answers(probabilities: np.ndarray) -> np.ndarray:
    """Return the class of each row, or yes and no of a single column."""
    if probabilities.shape[-1] == 1:
        return np.asarray(probabilities[..., 0] > 0.5, np.int64)
    return np.argmax(probabilities, axis=-1)


def _right(probabilities: np.ndarray, labels: np.ndarray) -> int:
    return int(np.sum(answers(probabilities) == labels))


def _detail(
    expected: np.ndarray,
    received: np.ndarray,
    class_names: Sequence[str] | None,
) -> str:
    def top(probabilities: np.ndarray) -> str:
        if len(probabilities) == 1:
            return f"{probabilities[0]:.3f}"
        index = int(np.argmax(probabilities))
        name = class_names[index] if class_names else f"class {index}"
        return f"{name} ({probabilities[index]:.3f})"

    return f"Keras says {top(expected)}, LiteRT says {top(received)}"


def logit_step(content: bytes) -> float | None:
    """Return the distance of neighboring logits in an integer file.

    Args:
        content: A `.tflite` file that ends in a softmax.

    Returns:
        In units of the student's logits; `None` where they are float.
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    softmax = schema.BuiltinOperator.SOFTMAX
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == softmax:
                return _scale(graph.tensors[operator.inputs[0]].quantization)
    return None


def _scale(quantization: Any) -> float | None:
    if quantization is None or quantization.scale is None:
        return None
    return float(quantization.scale[0])


def median_margin(logits: np.ndarray) -> float:
    """Return what separates the two best classes, in the median sample.

    Args:
        logits: Shape (N, classes), at least two classes.

    Returns:
        In units of the logits, at least 0.
    """
    ordered = np.sort(logits, axis=-1)
    return float(np.median(ordered[:, -1] - ordered[:, -2]))


def coarse_step_hint(step: float | None, margin: float | None) -> str:
    """Return a sentence for a file whose logits move in too coarse steps.

    Where one step is more than what lies between the two best classes,
    rounding decides the answer. Otherwise the text is empty.
    """
    if step is None or margin is None or step <= margin:
        return ""
    return (
        f"Its logits move in steps of {step:.3g}, more than the {margin:.3g} "
        "between the two best classes of the median sample: 8 bits are too "
        "coarse for this student's range of logits. "
    )
