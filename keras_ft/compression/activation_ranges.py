"""Ranges of activations, measured before quantization-aware training.

tfmot lets every range begin at -6..6 and move by a thousandth of the way per
step: a short training ends with ranges nobody measured, and clips what lies
outside of them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

_OUTPUTS = ("output", "post_activation")


def measure(quantized: Any, network: Any, batches: Iterable[Any]) -> None:
    """Sets the ranges of a quantized network to those of the float one.

    Args:
        quantized: What `quantizable(network)` returned; its ranges are set.
        network: The float network.
        batches: Batches of its input. A range is the mean of the batches'
            extremes, and always contains 0.

    Example:

    >>> measure(quantized, network, (x for x, y in train.take(8)))
    """
    import tensorflow as tf
    import tf_keras

    ranges = [
        (tensor, *variables)
        for layer in quantized.layers
        for tensor, variables in _ranges(layer, network)
    ]
    watched = tf_keras.Model(network.inputs, [found[0] for found in ranges])

    @tf.function(autograph=False)
    def extremes(images: Any) -> Any:
        tensors = tf.nest.flatten(watched(images, training=False))
        return tf.stack([[tf.reduce_min(x), tf.reduce_max(x)] for x in tensors])

    means = np.mean([extremes(images).numpy() for images in batches], axis=0)
    for (_, low, high), (smallest, largest) in zip(ranges, means, strict=True):
        low.assign(min(smallest, 0.0))
        high.assign(max(largest, 0.0))


def _ranges(layer: Any, network: Any) -> list[tuple[Any, tuple[Any, Any]]]:
    """Tensors of the float network, and the variables of their ranges."""
    variables = {
        weight.name.rsplit("/")[-1].split(":")[0]: weight
        for weight in layer.weights
    }
    tensors = {layer.name: network.input}
    inner = getattr(layer, "layer", None)
    if inner is not None:
        output = network.get_layer(inner.name).output
        tensors = dict.fromkeys(_OUTPUTS, output)
    return [
        (tensor, (variables[f"{name}_min"], variables[f"{name}_max"]))
        for name, tensor in tensors.items()
        if f"{name}_min" in variables
    ]
