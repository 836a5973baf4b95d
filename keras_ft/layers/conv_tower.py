"""The convolution stack that encoder, decoder and translator share."""

import math
from typing import Any

import keras
from keras import initializers
from keras import layers


@keras.saving.register_keras_serializable(package="keras_ft")
class ConvTower(layers.Layer):
    """Convolutions of stride 1, 3x3 by default, each with LeakyReLU(0.1).

    Height and width never change. Weights start as PyTorch's defaults, which
    the official recipe relies on: kernels and biases uniform in
    `+-1/sqrt(fan_in)`. For a transposed convolution PyTorch counts the output
    channels as fan-in, and so does Keras' fan rule for its kernel layout.

    Args:
        widths: Output channels of each convolution.
        transpose: Use transposed convolutions (the decoder).
        batch_normalization: Put batch normalization after each convolution.
        negative_slope: Slope of LeakyReLU below zero.
        kernel_sizes: Of each convolution; None for 3 everywhere.

    Input shape: (batch, height, width, channels).
    Output shape: (batch, height, width, widths[-1]).

    Reference:
        Jangho-Kim/Factor-Transfer-pytorch, Models/FeatureProjection.py.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        transpose: bool = False,
        batch_normalization: bool = False,
        negative_slope: float = 0.1,
        kernel_sizes: tuple[int, ...] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.widths = tuple(widths)
        self.kernel_sizes = tuple(kernel_sizes or [3] * len(self.widths))
        self.transpose = transpose
        self.batch_normalization = batch_normalization
        self.negative_slope = negative_slope
        self.steps: list[layers.Layer] = []

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels: Any = input_shape[-1]
        for width, size in zip(self.widths, self.kernel_sizes, strict=True):
            self.steps.extend(self._block(channels, width, size))
            channels = width
        shape = tuple(input_shape)
        for step in self.steps:
            step.build(shape)
            shape = step.compute_output_shape(shape)
        super().build(input_shape)

    def _block(
        self, channels: int, width: int, size: int
    ) -> list[layers.Layer]:
        kind = layers.Conv2DTranspose if self.transpose else layers.Conv2D
        fan_in = size * size * (width if self.transpose else channels)
        limit = 1 / math.sqrt(fan_in)
        block = [
            kind(
                width,
                size,
                padding="same",
                kernel_initializer=initializers.VarianceScaling(
                    1 / 3, "fan_in", "uniform"
                ),
                bias_initializer=initializers.RandomUniform(-limit, limit),
                dtype=self.dtype_policy,
            )
        ]
        if self.batch_normalization:
            block.append(
                layers.BatchNormalization(
                    momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy
                )
            )
        block.append(
            layers.LeakyReLU(self.negative_slope, dtype=self.dtype_policy)
        )
        return block

    def call(self, features: Any, training: bool | None = None) -> Any:
        for step in self.steps:
            if isinstance(step, layers.BatchNormalization):
                features = step(features, training=training)
            else:
                features = step(features)
        return features

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.widths[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "widths": list(self.widths),
            "transpose": self.transpose,
            "batch_normalization": self.batch_normalization,
            "negative_slope": self.negative_slope,
            "kernel_sizes": list(self.kernel_sizes),
        }
