"""Kernels that are pruned and clustered, and what is left in them."""

from typing import Any

import numpy as np

# By class name, exactly: depthwise kernels, a subclass, have few weights and
# lose more than they save.
_LAYERS = ("Conv2D", "Conv2DTranspose", "Dense")


def has_kernel(layer: Any) -> bool:
    """Whether a `tf_keras` layer has a kernel that can be compressed."""
    return type(layer).__name__ in _LAYERS


def kernels(network: Any) -> dict[str, np.ndarray]:
    """Kernels of a `tf_keras` network by their layers' names.

    Args:
        network: A flat network without wrappers.

    Returns:
        An array for each convolution and dense layer.

    Example:

    >>> kernels(network)["head"].shape
    (64, 10)
    """
    return {
        layer.name: layer.kernel.numpy()
        for layer in network.layers
        if has_kernel(layer)
    }


def are_pruned(network: Any, sparsity: float) -> bool:
    """Whether every kernel has the share of zeros, 0..1."""
    return all(
        np.mean(kernel == 0) >= sparsity - 1 / kernel.size
        for kernel in kernels(network).values()
    )


def are_clustered(network: Any, clusters: int) -> bool:
    """Whether no kernel has more different values than that."""
    return all(
        np.unique(kernel).size <= clusters
        for kernel in kernels(network).values()
    )
