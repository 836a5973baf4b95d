"""What an installation without TensorFlow is told."""

import importlib.util

from keras_ft.errors import InputError


def tensorflow(what: str, instead: str) -> None:
    """Refuses a call that cannot work because TensorFlow is not installed.

    The JAX and torch backends train without it; `tf.data` pipelines and the
    `.tflite` converter are made of it.

    Args:
        what: Who asks, as the user wrote it.
        instead: A full sentence: what to use where TensorFlow stays away.

    Raises:
        InputError: There is no TensorFlow.

    Example:

    >>> tensorflow("keras_ft.data.load", "Pass NumPy arrays to fit().")
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(
            "tensorflow",
            "a Python environment without it",
            f"TensorFlow, which {what} is built on",
            f"{instead} Or add it: pip install tensorflow.",
        )
