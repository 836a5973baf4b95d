"""Compute a student's batch normalization by TensorFlow's fused kernel.

Keras 3 computes batch normalization on TensorFlow from moments and elementwise
operations. The fused kernel does the same in one operation forward and one
backward. It returns the unbiased variance; Keras' moving variance averages the
biased one, so it is converted back.
"""

from collections.abc import Callable
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras
from keras import ops

from keras_ft.acceleration import processor

_DTYPES = ("float32", "bfloat16", "float16")


def is_faster(dtype: str = "float32") -> bool:
    """Return whether a student is trained faster by the fused kernel here.

    In float32 with oneDNN; in bfloat16 only if the processor multiplies it.
    Known, not timed: a run that is repeated or continued must decide alike.
    `benchmarks/fused_norm.py` is where the rule comes from.

    Args:
        dtype: The dtype of the activations.
    """
    if not processor.is_used_alone():
        return False
    if dtype == "bfloat16":
        return processor.gains_from_bfloat16()
    return dtype == "float32" and processor.has_onednn()


@contextmanager
def fused(model: keras.layers.Layer) -> Iterator[None]:
    """Compute a model's batch normalizations by the fused kernel.

    Enter it around the forward pass, inside the traced step: what was traced
    within stays fused, and nothing of it stays in the model. It does nothing
    on GPUs and other backends. Do not enter it in a step compiled by XLA,
    which fuses Keras' operations itself.

    A layer of `candidates` is fused when it normalizes by the batch's own
    statistics: called with `training=True`, `trainable`, without a mask, over
    the last axis, in float32, bfloat16 or float16. Every other call is left to
    Keras.

    Args:
        model: Any Keras model or layer; nested layers are found.

    Example:

    >>> with fused(student):
    ...     outputs = student(images, training=True)
    """
    layers = candidates(model) if processor.is_used_alone() else []
    for layer in layers:
        vars(layer)["call"] = _fused_call(layer)
    try:
        yield
    finally:
        for layer in layers:
            vars(layer).pop("call", None)


def candidates(
    model: keras.layers.Layer,
) -> list[keras.layers.BatchNormalization]:
    """Return the layers that `fused` can compute: Keras' own, in plain form.

    Left out are subclasses, synchronized layers, batch renormalization, layers
    with a `call` of their own (fused already, for example), and rematerialized
    ones, whose forward pass runs again after the block was left.
    """
    return [
        layer
        for layer in model._flatten_layers()
        if type(layer) is keras.layers.BatchNormalization
        and not (layer.synchronized or layer.renorm or layer._remat_mode)
        and "call" not in vars(layer)
    ]


def _fused_call(layer: keras.layers.BatchNormalization) -> Callable[..., Any]:
    def call(
        inputs: Any, training: bool | None = None, mask: Any = None
    ) -> Any:
        if training is True and mask is None and _is_plain(layer, inputs):
            return _normalized(layer, inputs)
        return type(layer).call(layer, inputs, training=training, mask=mask)

    return call


def _is_plain(layer: keras.layers.BatchNormalization, inputs: Any) -> bool:
    import tensorflow as tf

    if not isinstance(inputs, tf.Tensor) or (inputs.shape.rank or 0) < 2:
        return False
    return (
        layer.trainable
        and layer.axis in (-1, inputs.shape.rank - 1)
        and inputs.dtype.name in _DTYPES
        and inputs.dtype.name == layer.compute_dtype
    )


def _normalized(layer: keras.layers.BatchNormalization, inputs: Any) -> Any:
    """Return the layer's outputs, and update its moving statistics."""
    import tensorflow as tf

    channels = layer.moving_mean.shape[0]
    gamma = layer.gamma if layer.scale else tf.ones(channels)
    beta = layer.beta if layer.center else tf.zeros(channels)
    # The kernel knows images only; which axes are reduced does not matter.
    images = inputs.shape.rank == 4
    # Not `fused_batch_norm`: it raises an epsilon below 1.001e-5.
    outputs, mean, variance, *_ = tf.raw_ops.FusedBatchNormV3(
        x=inputs if images else tf.reshape(inputs, (-1, 1, 1, channels)),
        scale=ops.cast(gamma, "float32"),
        offset=ops.cast(beta, "float32"),
        mean=tf.zeros(0),
        variance=tf.zeros(0),
        epsilon=layer.epsilon,
        exponential_avg_factor=1.0,
        is_training=True,
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
