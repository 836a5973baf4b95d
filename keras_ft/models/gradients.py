"""The gradient of a pure function, on every Keras backend."""

from collections.abc import Callable
from typing import Any

import keras


def gradients(
    function: Callable[[list[Any]], Any], values: list[Any]
) -> list[Any]:
    """How a scalar changes with each of some tensors.

    Args:
        function: Maps the list of tensors to a scalar, without side effect.
        values: Float tensors of the current backend.

    Returns:
        One tensor per value, of its shape; zeros where it plays no part.

    Example:

    >>> gradients(lambda x: keras.ops.sum(x[0] ** 2), [keras.ops.ones(2)])
    [[2.0, 2.0]]
    """
    return list(_OF_BACKEND[keras.backend.backend()](function, values))


def _tensorflow(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import tensorflow as tf

    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(values)
        result = function(values)
    return tape.gradient(result, values, unconnected_gradients="zero")


def _jax(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import jax

    return jax.grad(function)(values)


def _torch(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    import torch

    leaves = [value.detach().requires_grad_() for value in values]
    result = function(leaves)
    return torch.autograd.grad(result, leaves, materialize_grads=True)


_OF_BACKEND = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
