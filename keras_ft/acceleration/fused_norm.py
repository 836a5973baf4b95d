"""Batch normalization by TensorFlow's fused kernel, in a student's own layers.

Keras 3 computes batch normalization on TensorFlow from moments and elementwise
operations. The fused kernel does the same in one operation forward and one
backward. It returns the unbiased variance; Keras' moving variance averages the
biased one, so it is converted back.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
from keras import ops

from keras_ft.acceleration import fused_kernel

_lock = threading.Lock()
# The layers that are fused where the caller runs. Threads do not share it.
_fused_here: ContextVar[frozenset[int]] = ContextVar(
    "fused_here", default=frozenset()
)


@contextmanager
def fused(model: keras.layers.Layer) -> Iterator[None]:
    """Computes a model's batch normalizations by the fused kernel.

    Enter it around the forward pass, inside the traced step: what was traced
    within stays fused, and nothing of it stays in the model. Only the thread
    that entered it is concerned. It does nothing where
    `fused_kernel.applies()` is False.

    A layer of `candidates` is fused when it normalizes by the batch's own
    statistics: called with `training=True`, `trainable`, without a mask, over
    the last axis, in float32, bfloat16 or float16. Every other call is left to
    Keras.

    Do not enter it in a step compiled by XLA, which fuses Keras' operations
    itself.

    Args:
        model: Any Keras model or layer; nested layers are found.

    Example:

    >>> with fused(student):
    ...     outputs = student(images, training=True)
    """
    layers = candidates(model) if fused_kernel.applies() else []
    with _lock:
        for layer in layers:
            vars(layer).setdefault("call", _FusedCall(layer)).users += 1
    ids = frozenset(map(id, layers))
    token = _fused_here.set(_fused_here.get() | ids)
    try:
        yield
    finally:
        _fused_here.reset(token)
        with _lock:
            for layer in layers:
                vars(layer)["call"].users -= 1
                if not vars(layer)["call"].users:
                    del vars(layer)["call"]


def candidates(
    model: keras.layers.Layer,
) -> list[keras.layers.BatchNormalization]:
    """The layers that `fused` can compute: Keras' own, in its plain form.

    Left out are subclasses, synchronized layers, batch renormalization, layers
    with a `call` of their own, and rematerialized ones, whose forward pass
    runs again after the block was left.
    """
    return [
        layer
        for layer in model._flatten_layers()
        if type(layer) is keras.layers.BatchNormalization
        and not (layer.synchronized or layer.renorm or layer._remat_mode)
        and isinstance(vars(layer).get("call"), _FusedCall | None)
    ]


class _FusedCall:
    """Stands for a layer's `call` while at least one `fused` is entered."""

    def __init__(self, layer: keras.layers.BatchNormalization) -> None:
        self._layer = layer
        self.users = 0

    def __call__(
        self, inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        layer = self._layer
        if id(layer) in _fused_here.get() and _takes(
            layer, inputs, training, mask
        ):
            return _normalized(layer, inputs)
        return type(layer).call(layer, inputs, training=training, mask=mask)


def _takes(
    layer: keras.layers.BatchNormalization,
    inputs: Any,
    training: bool | None,
    mask: Any,
) -> bool:
    import tensorflow as tf

    if training is not True or not layer.trainable or mask is not None:
        return False
    if not isinstance(inputs, tf.Tensor) or (inputs.shape.rank or 0) < 2:
        return False
    dtype = inputs.dtype.name
    return (
        layer.axis in (-1, inputs.shape.rank - 1)
        and dtype in fused_kernel.DTYPES
        and dtype == layer.compute_dtype
    )


def _normalized(layer: keras.layers.BatchNormalization, inputs: Any) -> Any:
    """The layer's outputs; its moving statistics are updated."""
    import tensorflow as tf

    channels = layer.moving_mean.shape[0]
    gamma = layer.gamma if layer.scale else tf.ones(channels)
    beta = layer.beta if layer.center else tf.zeros(channels)
    # The kernel knows images only; which axes are reduced does not matter.
    images = inputs.shape.rank == 4
    outputs, mean, variance = fused_kernel.run(
        inputs if images else tf.reshape(inputs, (-1, 1, 1, channels)),
        ops.cast(gamma, "float32"),
        ops.cast(beta, "float32"),
        layer.epsilon,
    )
    values = tf.cast(tf.size(inputs, tf.int64) // channels, tf.float32)
    variance *= (values - 1.0) / values
    for moving, of_batch in (
        (layer.moving_mean, mean),
        (layer.moving_variance, variance),
    ):
        moving.assign(
            ops.cast(moving, "float32") * layer.momentum
            + of_batch * (1.0 - layer.momentum)
        )
    if images:
        return outputs
    outputs = tf.reshape(outputs, tf.shape(inputs))
    outputs.set_shape(inputs.shape)
    return outputs
