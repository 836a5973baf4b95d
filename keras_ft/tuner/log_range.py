"""All numbers between two ends, for a parameter whose size is unknown."""

import dataclasses
import math

from keras_ft.errors import InputError


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
