"""What an installation without some package is told."""

import importlib.util

from keras_ft.errors import InputError


def require_tensorflow(what: str, instead: str) -> None:
    """Refuses a call that cannot work because TensorFlow is not installed.

    The JAX and torch backends train without it; `tf.data` pipelines and the
    `.tflite` converter are made of it.

    Args:
        what: Who asks, as the user wrote it.
        instead: A full sentence: what to use where TensorFlow stays away.

    Raises:
        InputError: There is no TensorFlow.

    Example:

    >>> require_tensorflow("keras_ft.data.load", "Pass NumPy arrays to fit().")
    """
    if importlib.util.find_spec("tensorflow") is None:
        raise InputError(
            "tensorflow",
            "a Python environment without it",
            f"TensorFlow, which {what} is built on",
            f"{instead} Or add it: pip install tensorflow.",
        )


def require_tensorflow_backend(what: str, instead: str) -> None:
    """Refuse a call that works on Keras' TensorFlow backend only.

    Args:
        what: Who asks, as the user wrote it.
        instead: A full sentence: what to do on another backend.

    Raises:
        InputError: There is no TensorFlow, or Keras uses another backend.
    """
    require_tensorflow(what, instead)
    import keras

    backend = keras.backend.backend()
    if backend != "tensorflow":
        raise InputError(
            f"{what} needs KERAS_BACKEND=tensorflow, but it is {backend}. "
            f"{instead}"
        )


def require_package(module: str, what: str, name: str, instead: str) -> None:
    """Refuses a call that needs an optional package which is not installed.

    Args:
        module: The package's name in an import.
        what: Who asks, as the user wrote it.
        name: The package's name for pip.
        instead: A full sentence: what to use where it stays away.

    Raises:
        InputError: It is not installed.

    Example:

    >>> require_package("litert_quantizer", "quantization='dynamic_wi4'",
    ...                 "litert-quantizer", "Use quantization='dynamic'.")
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(
            name,
            "a Python environment without it",
            f"{name}, which {what} is built on",
            f"{instead} Or add it: pip install {name}.",
        )
