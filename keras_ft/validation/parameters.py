"""Constraints on parameters as data; messages are generated from them.

State once which values a parameter takes and what to use instead of a wrong
one, and check all of them in one call, as scikit-learn does:

    _CONSTRAINTS = {
        "epochs": Interval(int, 1, fix="Use 164."),
        "rate": Interval(float, 0, closed="neither", fix="Use 0.5."),
        "shape": OneOf(("step", "linear"), fix="Use 'step'."),
        "seed": Interval(int, 0, optional=True, fix="Use 0."),
    }

    def __post_init__(self) -> None:  # of a dataclass
        parameters.check(_CONSTRAINTS, vars(self))

In a constructor, call `check(_CONSTRAINTS, {"rate": rate, ...})` or check a
single value with `Interval.check`. Relations between two parameters
are no constraint of one: write them as an `InputError` of one sentence.
"""

import math
import numbers
from collections.abc import Mapping
from dataclasses import KW_ONLY
from dataclasses import dataclass
from typing import Any
from typing import Literal

from keras_ft.errors import InputError

_TYPES: dict[type, tuple[type, str]] = {
    int: (numbers.Integral, "whole number"),
    float: (numbers.Real, "number"),
}


class Constraint:
    """The values that a parameter takes; `str()` says which.

    Attributes:
        fix: A full sentence: what to use in place of a wrong value.
        optional: Whether None is accepted, too.
    """

    fix: str
    optional: bool

    def accepts(self, value: Any) -> bool:
        """Return whether a value other than None is one of them."""
        raise NotImplementedError

    def check(self, argument: str, value: Any) -> None:
        """Raise an `InputError` that names the argument, unless it fits."""
        if (value is None and self.optional) or self.accepts(value):
            return
        expected = f"{self} or None" if self.optional else str(self)
        raise InputError(argument, repr(value), expected, self.fix)


@dataclass(frozen=True)
class Interval(Constraint):
    """Numbers between two bounds, without booleans, NaN and infinity.

    Attributes:
        type: `int` for whole numbers, `float` for any.
        low: The lower bound.
        high: The upper bound; None for no bound.
        closed: Which bounds belong to it.
    """

    type: type
    low: float
    high: float | None = None
    _: KW_ONLY
    closed: Literal["left", "right", "both", "neither"] = "both"
    fix: str
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        kind, _ = _TYPES[self.type]
        if not isinstance(value, kind) or isinstance(value, bool):
            return False
        number: Any = value
        if not math.isfinite(number):
            return False
        high = math.inf if self.high is None else self.high
        return bool(
            (self.low < number or (self._has_low and number == self.low))
            and (number < high or (self._has_high and number == high))
        )

    @property
    def _has_low(self) -> bool:
        return self.closed in ("left", "both")

    @property
    def _has_high(self) -> bool:
        return self.closed in ("right", "both")

    def __str__(self) -> str:
        _, noun = _TYPES[self.type]
        if self.high is not None and self.closed == "both":
            return f"a {noun} from {self.low} to {self.high}"
        low = "of at least" if self._has_low else "above"
        text = f"a {noun} {low} {self.low}"
        if self.high is None:
            return text
        high = "at most" if self._has_high else "below"
        return f"{text} and {high} {self.high}"


@dataclass(frozen=True)
class OneOf(Constraint):
    """Accept one of some values."""

    options: tuple[Any, ...]
    _: KW_ONLY
    fix: str
    optional: bool = False

    def accepts(self, value: Any) -> bool:
        return value in self.options

    def __str__(self) -> str:
        *most, last = map(repr, self.options)
        return f"{', '.join(most)} or {last}" if most else last


def check(
    constraints: Mapping[str, Constraint], values: Mapping[str, Any]
) -> None:
    """Raise an `InputError` at the first value outside of its constraint.

    Args:
        constraints: Constraints by the parameters' names.
        values: Values by name; those without a constraint are not looked at.
    """
    for name, constraint in constraints.items():
        constraint.check(name, values[name])
