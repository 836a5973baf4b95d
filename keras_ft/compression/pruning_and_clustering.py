"""Kernels with fewer weights or fewer values, by tfmot.

Pruning sets the smallest weights to zero, little by little; clustering leaves
a kernel few different values. Both wrap the layers of a `tf_keras` network
while it trains.
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from keras_ft.compression.tfmot import cluster_layer
from keras_ft.compression.tfmot import tfmot

# By class name, exactly: depthwise kernels, a subclass, have few weights and
# lose more than they save.
_LAYERS = ("Conv2D", "Conv2DTranspose", "Dense")
# Pruning is spread over this share of the steps; the rest heals what was cut.
_PRUNING_SHARE = 0.6
_PRUNINGS = 50


def kernels(network: Any) -> dict[str, np.ndarray]:
    """Return the kernels that can be compressed, by their layers' names.

    Args:
        network: A flat `tf_keras` network without wrappers.

    Returns:
        An array for each convolution and dense layer.
    """
    return {
        layer.name: layer.kernel.numpy()
        for layer in network.layers
        if _has_kernel(layer)
    }


def _has_kernel(layer: Any) -> bool:
    return type(layer).__name__ in _LAYERS


def is_pruned(network: Any, sparsity: float) -> bool:
    """Return whether every kernel has that share of zeros, 0..1."""
    return all(
        np.mean(kernel == 0) >= sparsity - 1 / kernel.size
        for kernel in kernels(network).values()
    )


def is_clustered(network: Any, clusters: int) -> bool:
    """Return whether no kernel has more different values than that."""
    return all(
        np.unique(kernel).size <= clusters
        for kernel in kernels(network).values()
    )


def copy_network(
    network: Any,
    wrap: Callable[[Any], Any] | None = None,
    seed: int | None = None,
) -> Any:
    """Copy a network, with a graph and variables of its own.

    `clone_model` would let the copy share every layer that is not wrapped:
    layers with two outputs, none of which can be tapped.

    Args:
        network: A flat `tf_keras` network.
        wrap: Given a layer with the weights of the network's, returns it
            wrapped, or the layer itself.
        seed: Of the dropout layers; None keeps theirs.
    """
    import tf_keras

    def copy_layer(layer: Any) -> Any:
        config = layer.get_config()
        if seed is not None and "seed" in config:
            # Different layers must not drop the same places.
            config["seed"] = seed + network.layers.index(layer)
        return type(layer).from_config(config)

    def wrap_or_copy(layer: Any) -> Any:
        assert wrap is not None
        wrapped = wrap(layer)
        if wrapped is not layer:
            return wrapped
        again = type(layer).from_config(layer.get_config())
        if layer.weights:
            again.build(layer.input_shape)
            again.set_weights(layer.get_weights())
        return again

    copy = tf_keras.models.clone_model(network, clone_function=copy_layer)
    copy.set_weights(network.get_weights())
    if wrap is None:
        return copy
    return tf_keras.models.clone_model(copy, clone_function=wrap_or_copy)


def prunable(network: Any, sparsity: float, steps: int) -> Any:
    """Copy a network so that it prunes itself while it trains.

    The sparsity rises with the third power of time and is reached after 60%
    of the steps.

    Args:
        network: A flat `tf_keras` network.
        sparsity: Share of zeros in each kernel at the end, 0..1.
        steps: Training steps, at least 1.

    Returns:
        The copy, each layer with a kernel wrapped; it trains with
        `pruning_callbacks`.

    Reference:
        Zhu and Gupta 2017, arXiv:1710.01878.
    """
    pruning = tfmot().sparsity.keras
    frequency = max(1, steps // _PRUNINGS)
    # A multiple: otherwise the last cut, to the full sparsity, is left out.
    end = frequency * max(1, round(_PRUNING_SHARE * steps / frequency))
    schedule = pruning.PolynomialDecay(
        initial_sparsity=0.0,
        final_sparsity=sparsity,
        begin_step=0,
        end_step=end,
        frequency=frequency,
    )

    def wrap(layer: Any) -> Any:
        if not _has_kernel(layer):
            return layer
        return pruning.prune_low_magnitude(layer, pruning_schedule=schedule)

    return copy_network(network, wrap)


def pruning_callbacks() -> list[Any]:
    """Return what `fit` needs beside a network of `prunable`."""
    return [tfmot().sparsity.keras.UpdatePruningStep()]


def strip_pruning(network: Any) -> Any:
    """Copy a pruned network without its wrappers."""
    return copy_network(tfmot().sparsity.keras.strip_pruning(network))


def clusterable(network: Any, clusters: int) -> Any:
    """Copy a network so that its kernels are clustered.

    The values start where k-means++ puts them and train with the network.
    Zeros of a pruned kernel stay zero and are one of the values. Kernels that
    have no more different values than asked for are left alone.

    Args:
        network: A flat `tf_keras` network.
        clusters: Different values in each kernel, at least 3.

    Returns:
        The copy, layers with a kernel wrapped.
    """

    def wrap(layer: Any) -> Any:
        if not _has_kernel(layer):
            return layer
        kernel = layer.kernel.numpy()
        if np.unique(kernel).size <= clusters:
            return layer
        return cluster_layer(layer, clusters, bool((kernel == 0).any()))

    return copy_network(network, wrap)


def strip_clustering(network: Any) -> Any:
    """Copy a clustered network without its wrappers."""
    return copy_network(tfmot().clustering.keras.strip_clustering(network))
