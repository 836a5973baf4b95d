"""Copies of tf_keras networks, with wrapped layers or without."""

from collections.abc import Callable
from typing import Any


def rebuilt(
    network: Any,
    wrapped: Callable[[Any], Any] | None = None,
    seed: int | None = None,
) -> Any:
    """A copy of a network with a graph and variables of its own.

    `clone_model` would let the copy share every layer that is not wrapped:
    layers with two outputs, none of which can be tapped.

    Args:
        network: A flat `tf_keras` network.
        wrapped: Given a layer with the weights of the network's, returns it
            wrapped, or the layer itself.
        seed: Of the dropout layers; None keeps theirs.

    Returns:
        The copy.

    Example:

    >>> rebuilt(network).get_layer("head") is network.get_layer("head")
    False
    """
    import tf_keras

    def again(layer: Any) -> Any:
        config = layer.get_config()
        if seed is not None and "seed" in config:
            # Different layers must not drop the same places.
            config["seed"] = seed + network.layers.index(layer)
        return type(layer).from_config(config)

    copy = tf_keras.models.clone_model(network, clone_function=again)
    copy.set_weights(network.get_weights())
    if wrapped is None:
        return copy
    return tf_keras.models.clone_model(
        copy, clone_function=lambda layer: _apart(layer, wrapped)
    )


def _apart(layer: Any, wrapped: Callable[[Any], Any]) -> Any:
    result = wrapped(layer)
    if result is not layer:
        return result
    apart = type(layer).from_config(layer.get_config())
    if layer.weights:
        apart.build(layer.input_shape)
        apart.set_weights(layer.get_weights())
    return apart
