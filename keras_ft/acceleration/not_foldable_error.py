"""The refusal of a network that cannot be folded."""


class NotFoldableError(ValueError):
    """A network that `fold` does not understand; the original still works.

    Args:
        network: The network's name.
        reason: Why, in words that a user can read: the layer, or the figure
            that missed its bound.

    Example:

    >>> raise NotFoldableError("teacher", "layer 'a' keeps state")
    Traceback (most recent call last):
    keras_ft.acceleration.not_foldable_error.NotFoldableError: 'teacher' ...
    """

    def __init__(self, network: str, reason: str) -> None:
        self.network = network
        self.reason = reason
        super().__init__(f"'{network}' cannot be folded: {reason}.")

    def __reduce__(self) -> tuple[type, tuple[str, str]]:
        return type(self), (self.network, self.reason)
