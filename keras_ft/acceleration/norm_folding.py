"""Batch normalization in inference, folded into the layer before it.

In inference it is `x * scale + shift` per channel, with constants. A layer
that is linear in its kernel and bias takes both into them.
"""

from typing import Any

import keras
import numpy as np

from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.step import Step

# Exact types: a subclass may compute anything. Where in the last kernel the
# output channels are; a depthwise kernel has them on two axes.
_CHANNEL_AXIS: dict[type, int | None] = {
    keras.layers.Conv1D: -1,
    keras.layers.Conv2D: -1,
    keras.layers.Conv3D: -1,
    keras.layers.Conv1DTranspose: -2,
    keras.layers.Conv2DTranspose: -2,
    keras.layers.Conv3DTranspose: -2,
    keras.layers.SeparableConv1D: -1,
    keras.layers.SeparableConv2D: -1,
    keras.layers.DepthwiseConv1D: None,
    keras.layers.DepthwiseConv2D: None,
    keras.layers.Dense: -1,
}


class ChannelScale(keras.layers.Layer):
    """`x * scale + shift` per channel: a batch normalization on its own.

    Keras' Rescaling would hold its constants where a compiled function
    cannot see them change.
    """

    supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        self.scale = self.add_weight(channels, name="scale")
        self.shift = self.add_weight(channels, name="shift")

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return inputs * self.scale + self.shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def fold_norms(flat: FlatGraph) -> None:
    """Moves each batch normalization that it can into the step before it.

    Changes the list of steps alone: the normalization leaves it, and the
    earlier step lists it under `norms` and makes its output.
    """
    uses, calls = flat.uses(), flat.calls()
    makers = {step.outputs[0]: step for step in flat.steps}
    kept = []
    for step in flat.steps:
        before = makers.get(step.inputs[0]) if is_norm(step) else None
        if (
            before is not None
            and _takes_norms(before)
            and uses[step.inputs[0]] == 1
            and calls[id(before.operation)] == 1
            and calls[id(step.operation)] == 1
        ):
            before.norms.append(step.operation)
            before.outputs = step.outputs
            makers[step.outputs[0]] = before
        else:
            kept.append(step)
    flat.steps = kept


def is_norm(step: Step) -> bool:
    """Whether a step is batch normalization over the last axis."""
    layer = step.operation
    if type(layer) is not keras.layers.BatchNormalization:
        return False
    # `input_spec` was made when the rank was known: axes {last: channels}.
    rank = layer.input_spec.ndim
    return layer.axis % rank == rank - 1


def folded_weights(step: Step) -> list[np.ndarray]:
    """The weights of a step's layer, with the batch norms before it.

    Returns:
        Those of the layer that stands for it, bias always last; computed in
        float64.
    """
    layer = step.operation
    if is_norm(step):
        return list(_scale_and_shift(layer))
    weights = layer.get_weights()
    if not step.norms:
        return weights
    bias = weights.pop() if layer.use_bias else 0.0
    kernel = np.asarray(weights.pop(), "float64")
    for norm in step.norms:
        scale, shift = _scale_and_shift(norm)
        kernel = kernel * _along(scale, kernel, _CHANNEL_AXIS[type(layer)])
        bias = bias * scale + shift
    return [*weights, kernel, bias]


def _takes_norms(step: Step) -> bool:
    layer = step.operation
    return (
        type(layer) in _CHANNEL_AXIS
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _scale_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (
        keras.ops.convert_to_numpy(variable).astype("float64")
        for variable in (norm.moving_mean, norm.moving_variance)
    )
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * keras.ops.convert_to_numpy(norm.gamma)
    shift = -mean * scale
    if norm.center:
        shift = shift + keras.ops.convert_to_numpy(norm.beta)
    return scale, shift


def _along(
    scale: np.ndarray, kernel: np.ndarray, axis: int | None
) -> np.ndarray:
    """`scale` in a shape that multiplies a kernel's output channels."""
    if axis is None:
        return scale.reshape(kernel.shape[-2:])
    return scale if axis == -1 else scale[:, None]
