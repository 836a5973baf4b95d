"""The package's own error for bad input: one sentence a user can act on."""

from typing import Any
from typing import overload


class InputError(ValueError):
    """Bad input, found before the first training step.

    Give four parts where a value is wrong, and Keras' message follows from
    them: what happened and with which value, what was expected, how to fix
    it. Give one sentence where they would not read as a person speaks. It is
    a `ValueError`, so code that guards Keras calls keeps working.

    Args:
        argument: Name of the argument or file at fault; or the whole message,
            when it is the only one given.
        received: The offending value as the user would recognize it.
        expected: What would have been accepted.
        fix: A full sentence telling what to do next.

    Example:

    >>> keras_ft.Paraphraser(rate=-1)
    Traceback (most recent call last):
    keras_ft.InputError: Invalid `rate`. Received: -1. ...
    """

    @overload
    def __init__(self, argument: str) -> None: ...

    @overload
    def __init__(
        self, argument: str, received: Any, expected: str, fix: str
    ) -> None: ...

    def __init__(
        self,
        argument: str,
        received: Any = None,
        expected: str = "",
        fix: str = "",
    ) -> None:
        self.argument = argument
        self.received = received
        self.expected = expected
        self.fix = fix
        super().__init__(
            f"Invalid `{argument}`. Received: {received}. "
            f"Expected: {expected}. {fix}"
            if expected
            else argument
        )

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.argument, self.received, self.expected, self.fix)
        return type(self), parts
