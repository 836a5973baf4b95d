"""The hyper-parameters of a search and where their values come from."""

import dataclasses
import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import numpy as np

from keras_ft.errors import InputError

RATES = (0.25, 0.5, 0.75, 1.0, 2.0, 4.0)
# As they are shown; a student's own parameters come after them.
NAMES = ("rate", "beta", "p", "learning_rate", "temperature", "kd_weight")
# What keras-tuner's Hyperband keeps among the hyper-parameters. So do others
# whose trials are shorter than the recipe says.
_TUNERS_OWN = "tuner/"
EPOCHS = f"{_TUNERS_OWN}epochs"
_DIGITS = 6
# Columns of a result beside the values of its parameters.
RESULTS = ("score", "best_epoch", "epochs", "seconds", "status", "message")


@dataclasses.dataclass(frozen=True)
class LogRange:
    """Numbers from `low` to `high`, each power of ten as likely as another.

    Args:
        low: Above 0.
        high: Above `low`.

    Raises:
        InputError: An end is out of range.

    Example:

    >>> betas = keras_ft.tuner.LogRange(10.0, 1000.0)
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not 0 < self.low < self.high < math.inf:
            raise InputError(
                "range",
                f"{self.low} to {self.high}",
                "two finite numbers above 0, the smaller one first",
                "Write LogRange(10.0, 1000.0).",
            )


Axis = Sequence[float] | LogRange


class Space:
    """Hold what is searched: for each name its values.

    Args:
        axes: By name: a sequence of values, a `LogRange`, or `None` for a
            parameter that is not searched.

    Raises:
        InputError: A sequence is empty or holds something else than numbers.
    """

    def __init__(self, axes: Mapping[str, Axis | None]) -> None:
        self.axes: dict[str, tuple[float, ...] | LogRange] = {
            name: _checked(name, axis)
            for name, axis in axes.items()
            if axis is not None
        }

    def declare(self, hp: Any) -> dict[str, float]:
        """Register the parameters; return the trial's values by name."""
        return {
            name: canonical(self._declared(hp, name, axis))
            for name, axis in self.axes.items()
        }

    def _declared(self, hp: Any, name: str, axis: Any) -> Any:
        if isinstance(axis, LogRange):
            return hp.Float(name, axis.low, axis.high, sampling="log")
        if name == "p":
            return hp.Choice(name, list(map(int, axis)))
        # Chief and workers exchange float32: others come back as neighbors
        # of a value, which GridSearch does not find in its list.
        return hp.Choice(name, [float(np.float32(value)) for value in axis])


def canonical(value: Any) -> Any:
    """Return a number as it is used and shown: alike in chief and workers.

    Their protocol carries float32, so that six digits arrive.
    """
    if isinstance(value, float):
        return float(f"{value:.{_DIGITS}g}")
    return value


def values_of(hp: Any) -> dict[str, Any]:
    """Return all values of a trial by name, without the tuner's own."""
    found = {
        name: canonical(value)
        for name, value in sorted(hp.values.items())
        if not name.startswith(_TUNERS_OWN)
    }
    known = {name: found[name] for name in NAMES if name in found}
    return known | found


def note_epochs(hp: Any, epochs: int, whole: int) -> None:
    """Have the oracle keep how long a shorter trial is, for the results."""
    if epochs < whole:
        hp.values.setdefault(EPOCHS, epochs)


def label(values: Mapping[str, Any]) -> str:
    """Return values as a few words: `rate 0.5, beta 500`."""
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}"
        for name, value in values.items()
    )


def _checked(name: str, axis: Axis) -> tuple[float, ...] | LogRange:
    if name == "p" and (isinstance(axis, LogRange) or not {1, 2} >= {*axis}):
        raise InputError("ps", axis, "1, 2 or both", "Write ps=(1, 2).")
    if name == "kd_weight" and _largest(axis) > 1:
        raise InputError(
            "kd_weights",
            repr(axis),
            "numbers from 0 to 1: alpha in (1 - alpha) * labels + alpha * KD",
            "Write a sequence such as (0.5, 0.9).",
        )
    if isinstance(axis, LogRange):
        return axis
    values = tuple(axis)
    if not values or not all(_is_positive(value) for value in values):
        raise InputError(
            name,
            repr(axis),
            "some finite numbers above 0, or a LogRange",
            "Write a sequence such as (0.25, 0.5, 1.0).",
        )
    return tuple(dict.fromkeys(map(float, values)))


def _largest(axis: Axis) -> float:
    if isinstance(axis, LogRange):
        return axis.high
    return max((v for v in axis if _is_positive(v)), default=0.0)


def _is_positive(value: Any) -> bool:
    return isinstance(value, (int, float)) and 0 < value < math.inf
