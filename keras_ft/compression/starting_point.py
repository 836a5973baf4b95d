"""The tf_keras network that a compression starts from."""

from typing import Any

import keras

from keras_ft.compression.rebuilt import rebuilt
from keras_ft.errors import InputError
from keras_ft.export.tf_keras_bridge import to_tf_keras


def starting_point(student: keras.Model, start: Any, seed: int) -> Any:
    """A flat `tf_keras` copy of a student.

    Args:
        student: The Keras 3 student; mixed precision becomes float32.
        start: A `tf_keras` network of the same layers, whose weights are
            taken instead; or None.
        seed: Of the dropout layers.

    Returns:
        The copy.

    Raises:
        InputError: `start` is another network, or a quantized one.

    Example:

    >>> starting_point(student, None, seed=0)
    <tf_keras.src.engine.functional.Functional object at ...>
    """
    network = to_tf_keras(student, flat=True)
    network = rebuilt(network, seed=seed)
    if start is not None:
        if _shapes(start) != _shapes(network):
            raise InputError(
                "start",
                repr(getattr(start, "name", start)),
                f"a pruned or clustered '{student.name}' in tf_keras",
                "Pass what compress() returned for this student; what was "
                "quantized cannot be compressed further.",
            )
        network.set_weights(start.get_weights())
    return network


def _shapes(network: Any) -> dict[str, list[tuple[int, ...]]] | None:
    layers = getattr(network, "layers", None)
    if layers is None:
        return None
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in layers
        if layer.weights
    }
