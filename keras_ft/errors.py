"""The package's own error for bad input: one sentence a user can act on."""

from typing import Any


class InputError(ValueError):
    """Bad input, found before the first training step.

    The message always has Keras' three parts: what happened and with which
    value, what was expected, and how to fix it. It is a `ValueError`, so code
    that guards Keras calls keeps working.

    Args:
        argument: Name of the argument or file at fault.
        received: The offending value as the user would recognise it.
        expected: What would have been accepted.
        fix: A full sentence telling what to do next.

    Example:

    >>> keras_ft.Paraphraser(rate=-1)
    Traceback (most recent call last):
    keras_ft.InputError: Invalid `rate`. Received: -1. ...
    """

    def __init__(
        self, argument: str, received: Any, expected: str, fix: str
    ) -> None:
        self.argument = argument
        self.received = received
        self.expected = expected
        self.fix = fix
        super().__init__(
            f"Invalid `{argument}`. Received: {received}. "
            f"Expected: {expected}. {fix}"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        parts = (self.argument, self.received, self.expected, self.fix)
        return type(self), parts
