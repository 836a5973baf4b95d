"""Weight clustering: a kernel has few different values."""

from typing import Any

import numpy as np

from keras_ft.compression.kernels import has_kernel
from keras_ft.compression.rebuilt import rebuilt
from keras_ft.compression.tfmot import cluster_layer
from keras_ft.compression.tfmot import tfmot


def clusterable(network: Any, clusters: int) -> Any:
    """A copy of a network whose kernels are clustered.

    The values start where k-means++ puts them and train with the network.
    Zeros of a pruned kernel stay zero and are one of the values. Kernels that
    have no more different values than asked for are left alone.

    Args:
        network: A flat `tf_keras` network.
        clusters: Different values in each kernel, at least 3.

    Returns:
        The network, layers with a kernel wrapped.

    Example:

    >>> network = clusterable(network, clusters=16)
    """

    def wrapped(layer: Any) -> Any:
        if not has_kernel(layer):
            return layer
        kernel = layer.kernel.numpy()
        if np.unique(kernel).size <= clusters:
            return layer
        return cluster_layer(layer, clusters, bool((kernel == 0).any()))

    return rebuilt(network, wrapped)


def stripped(network: Any) -> Any:
    """The clustered network without its wrappers."""
    return rebuilt(tfmot().clustering.keras.strip_clustering(network))
