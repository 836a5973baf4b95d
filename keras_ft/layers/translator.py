"""The translator: turns student features into the student factor."""

from typing import Any

import keras
from keras import layers

from keras_ft.errors import InputError
from keras_ft.layers import bottleneck as bottlenecks
from keras_ft.layers.conv_tower import ConvTower
from keras_ft.layers.paraphraser import feature_channels
from keras_ft.validation.parameters import Interval

_CHANNELS = Interval(
    int, 1, optional=True, fix="Leave it out to take the teacher factor's."
)


@keras.saving.register_keras_serializable(package="keras_ft")
class Translator(layers.Layer):
    """Three convolutions from student features to the student factor.

    Conv C->C, Conv C->m, Conv m->m, each 3x3 with bias and LeakyReLU(0.1):
    the shape of the paraphraser's encoder. It trains with the student and is
    thrown away afterwards. As there, features of more than 512 channels are
    narrowed to a quarter first.

    Args:
        channels: m, the channels of the teacher factor. None lets the
            transfer that owns the translator fill it in.
        batch_normalization: Batch normalization after each convolution
            (RepDistiller has it, the official recipe has not).
        negative_slope: Slope of LeakyReLU below zero.
        bottleneck: `"auto"`, None or a number, as a `Paraphraser`'s.

    Input shape: (batch, height, width, C).
    Output shape: (batch, height, width, m).

    Example:

    >>> translator = keras_ft.Translator(channels=32)
    >>> keras.ops.shape(translator(np.ones((2, 8, 8, 64), "float32")))
    (2, 8, 8, 32)

    Reference:
        arXiv:1802.04977; Jangho-Kim/Factor-Transfer-pytorch,
        Models/FeatureProjection.py.
    """

    def __init__(
        self,
        channels: int | None = None,
        batch_normalization: bool = False,
        negative_slope: float = 0.1,
        bottleneck: int | str | None = "auto",
        **kwargs: Any,
    ) -> None:
        bottlenecks.check(bottleneck)
        _CHANNELS.check("channels", channels)
        super().__init__(**kwargs)
        self.channels = channels
        self.batch_normalization = batch_normalization
        self.negative_slope = negative_slope
        self.bottleneck = bottleneck

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        width = feature_channels(input_shape, "student features")
        if self.channels is None:
            raise InputError(
                "channels",
                None,
                "the channels of the teacher factor",
                "Pass Translator(channels=...) when using it on its own.",
            )
        narrow = bottlenecks.width(width, self.bottleneck)
        widths = (narrow or width, self.channels, self.channels)
        self.tower = ConvTower(
            widths if narrow is None else (narrow, *widths),
            kernel_sizes=None if narrow is None else (1, 3, 3, 3),
            batch_normalization=self.batch_normalization,
            negative_slope=self.negative_slope,
            dtype=self.dtype_policy,
        )
        self.tower.build(input_shape)
        super().build(input_shape)

    def call(self, features: Any, training: bool | None = None) -> Any:
        return self.tower(features, training=training)

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (*input_shape[:-1], self.channels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "channels": self.channels,
            "batch_normalization": self.batch_normalization,
            "negative_slope": self.negative_slope,
            "bottleneck": self.bottleneck,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Translator":
        # Files of earlier versions know of none.
        return cls(**{"bottleneck": None, **config})
