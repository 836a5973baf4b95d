"""Zeros and clusters that a training must not lose."""

from typing import Any

import numpy as np


class KeptKernels:
    """Brings kernels back to their zeros and clusters after each step.

    A cluster moves as the mean of its weights does. tfmot has quantizers that
    keep both, but looks for the nearest of all centroids of every weight in
    every step, and clusters some kernels anew, channel by channel.

    Args:
        network: The network that trains; layers may be wrapped.
        kernels: The kernels as they were, by layer name.
        zeros: Whether zeros stay zero.
        clusters: Whether what is equal stays equal.

    Example:

    >>> kept = KeptKernels(quantized, kernels(pruned), True, False)
    >>> kept.restore()
    """

    def __init__(
        self,
        network: Any,
        kernels: dict[str, np.ndarray],
        zeros: bool,
        clusters: bool,
    ) -> None:
        self._kept = [
            (
                variable_of(network, name),
                (kernel != 0).astype(np.float32) if zeros else None,
                _Clusters(kernel) if clusters else None,
            )
            for name, kernel in kernels.items()
        ]

    def restore(self) -> None:
        """Assigns every kernel; to be called inside the training step."""
        for variable, mask, clusters in self._kept:
            value = variable
            if clusters is not None:
                value = clusters.mean(value)
            if mask is not None:
                value = value * mask
            variable.assign(value)


class _Clusters:
    def __init__(self, kernel: np.ndarray) -> None:
        values, places = np.unique(kernel, return_inverse=True)
        self._count = values.size
        self._places = places.reshape(-1).astype(np.int32)

    def mean(self, kernel: Any) -> Any:
        import tensorflow as tf

        means = tf.math.unsorted_segment_mean(
            tf.reshape(kernel, [-1]), self._places, self._count
        )
        return tf.reshape(tf.gather(means, self._places), kernel.shape)


def variable_of(network: Any, name: str) -> Any:
    """The variable behind a layer's kernel, wrapped by tfmot or not."""
    for layer in network.layers:
        if getattr(layer, "layer", layer).name == name:
            # `layer.kernel` is a tensor once a wrapper has been called.
            return next(
                weight
                for weight in layer.trainable_weights
                if weight.name.rsplit("/")[-1] == "kernel:0"
            )
    raise KeyError(name)
