"""Refuse calls that need a package which is not installed."""

import importlib.util

from keras_ft.errors import InputError


def require_tensorflow(what: str, instead: str) -> None:
    """Refuse a call that is built on TensorFlow where there is none.

    The JAX and torch backends train without it; `tf.data` pipelines and the
    `.tflite` converter are made of it. Arguments as in `require_package`.
    """
    require_package("tensorflow", what, "TensorFlow", instead)


def require_package(module: str, what: str, name: str, instead: str) -> None:
    """Refuse a call that needs an optional package which is missing.

    Args:
        module: The package's name in an import.
        what: Who asks, as the user wrote it.
        name: The package's name for people and pip.
        instead: A full sentence: what to use where it stays away.

    Raises:
        InputError: It is not installed.
    """
    if importlib.util.find_spec(module) is None:
        raise InputError(
            f"{what} is built on {name}, which is not installed. {instead} "
            f"Or add it: pip install {name.lower()}."
        )
