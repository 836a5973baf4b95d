"""An error of the whole search, not of one trial."""

import keras_tuner

from keras_ft.errors import InputError


class SearchError(InputError, keras_tuner.errors.FatalError):
    """An `InputError` that keras-tuner does not take for a failed trial.

    keras-tuner catches what a trial raises and goes on with the next one,
    unless it is a `FatalError`. What would fail in every trial is one.

    Example:

    >>> import keras_tuner
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, objective="val_loss", directory="search")
    >>> tuner.search()
    Traceback (most recent call last):
    keras_ft.tuner.SearchError: Invalid `objective`. ...
    """

    @classmethod
    def of(cls, error: InputError) -> "SearchError":
        """The same message, for the whole search."""
        return cls(error.argument, error.received, error.expected, error.fix)
