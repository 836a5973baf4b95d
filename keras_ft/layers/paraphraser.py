"""The paraphraser: an auto-encoder whose code is the teacher factor."""

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import layers

from keras_ft.errors import InputError
from keras_ft.layers import bottleneck as bottlenecks
from keras_ft.layers.conv_tower import ConvTower
from keras_ft.validation import parameters
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

ROUNDINGS: dict[str, Callable[[float], int]] = {
    "round": round,
    "floor": math.floor,
}
_CONSTRAINTS = {
    "rate": Interval(
        float,
        0,
        # A slip of the keyboard would fill the machine's memory.
        100,
        closed="right",
        fix="Use rate=0.5, the official setting.",
    ),
    "rounding": OneOf(
        tuple(ROUNDINGS), fix="Leave it out for the official rule."
    ),
}


@keras.saving.register_keras_serializable(package="keras_ft")
class Paraphraser(layers.Layer):
    """Convolutional auto-encoder over the teacher's last feature maps.

    With C channels in and `m = round(rate * C)`:

    - encoder: Conv C->C, Conv C->m, Conv m->m; its output is the *teacher
      factor*, which calling the layer returns;
    - decoder: transposed Conv m->m, m->C, C->C; `reconstruct` runs both.

    Every convolution is 3x3, stride 1, with bias, and is followed by
    LeakyReLU(0.1), the last one included. Rate 0.5 on 64 channels has 129,312
    parameters.

    Features of more than 512 channels, wider than any it was published for,
    are narrowed to a quarter by a 1x1 convolution before the encoder, and
    widened by one behind the decoder: C is that quarter then. `narrowing`
    tells. ResNet-50's 2,048 channels have 10 million parameters so, and 132
    million with `bottleneck=None`.

    Args:
        rate: The paper's k, above 0: channels of the factor per channel of
            the features. Usual values are 0.5, 0.75, 1, 2 and 4.
        rounding: `"round"` as in the official code, or `"floor"` as in
            RepDistiller and torchdistill.
        batch_normalization: Batch normalization after each convolution. The
            official recipe for CIFAR has none.
        negative_slope: Slope of LeakyReLU below zero.
        bottleneck: `"auto"`, as above; None, to keep all channels; or the
            number of channels to narrow to, at least 1.

    Input shape: (batch, height, width, C).
    Output shape: (batch, height, width, m).

    Attributes:
        trained: Whether phase 1 has run. `ParaphraserTrainer.fit` sets it and
            it is saved with the weights. Set it yourself when the weights
            come from elsewhere.
        trained_on: A digest of the teacher and tap of phase 1, saved likewise;
            another teacher is refused in phase 2. None where it is not known,
            or for you to set where another one is meant.

    Raises:
        InputError: `rate` is not above 0 and at most 100, or leaves no
            channel; `bottleneck` is none of these.

    Example:

    >>> paraphraser = keras_ft.Paraphraser(rate=0.5)
    >>> features = np.ones((2, 8, 8, 64), "float32")
    >>> keras.ops.shape(paraphraser(features))
    (2, 8, 8, 32)
    >>> keras.ops.shape(paraphraser.reconstruct(features))
    (2, 8, 8, 64)

    Reference:
        arXiv:1802.04977; Jangho-Kim/Factor-Transfer-pytorch,
        Models/FeatureProjection.py. The bottleneck: He et al. 2016,
        arXiv:1512.03385.
    """

    def __init__(
        self,
        rate: float = 0.5,
        rounding: str = "round",
        batch_normalization: bool = False,
        negative_slope: float = 0.1,
        bottleneck: int | str | None = "auto",
        **kwargs: Any,
    ) -> None:
        bottlenecks.check(bottleneck)
        values = {"rate": rate, "rounding": rounding}
        parameters.check(_CONSTRAINTS, values)
        super().__init__(**kwargs)
        self.rate = float(rate)
        self.rounding = rounding
        self.batch_normalization = batch_normalization
        self.negative_slope = negative_slope
        self.bottleneck = bottleneck
        self.trained = False
        self.trained_on: str | None = None

    def factor_channels(self, channels: int) -> int:
        """Return the factor's channels for features of `channels` channels."""
        channels = bottlenecks.width(channels, self.bottleneck) or channels
        factor_channels = ROUNDINGS[self.rounding](channels * self.rate)
        if factor_channels < 1:
            raise InputError(
                "rate",
                f"{self.rate}, which leaves 0 of {channels} channels",
                f"at least {1 / channels:.4g}",
                "Use a larger rate or a feature map with more channels.",
            )
        return factor_channels

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        channels = feature_channels(input_shape, "features")
        code = self.factor_channels(channels)
        shared = {
            "batch_normalization": self.batch_normalization,
            "negative_slope": self.negative_slope,
            "dtype": self.dtype_policy,
        }
        narrow = bottlenecks.width(channels, self.bottleneck)
        if narrow is None:
            self.encoder = ConvTower((channels, code, code), **shared)
            self.decoder = ConvTower(
                (code, channels, channels), transpose=True, **shared
            )
        else:
            self.encoder = ConvTower(
                (narrow, narrow, code, code),
                kernel_sizes=(1, 3, 3, 3),
                **shared,
            )
            self.decoder = ConvTower(
                (code, narrow, narrow, channels),
                kernel_sizes=(3, 3, 3, 1),
                transpose=True,
                **shared,
            )
        self.encoder.build(input_shape)
        self.decoder.build((*input_shape[:-1], code))
        super().build(input_shape)

    @property
    def narrowing(self) -> str:
        """Return what the bottleneck does, for people; "" where there is none.

        Known once the layer is built.
        """
        if not self.built or len(self.encoder.widths) == 3:
            return ""
        channels, narrow = self.decoder.widths[-1], self.encoder.widths[0]
        without = ROUNDINGS[self.rounding](channels * self.rate)
        full = 18 * (channels**2 + channels * without + without**2)
        return (
            f"{channels:,} channels are narrowed to {narrow:,} by 1x1 "
            "convolutions, as in the bottlenecks of He et al. 2016: "
            f"{self.count_params() / 1e6:.1f} M parameters instead of "
            f"{full / 1e6:.1f} M"
        )

    def call(self, features: Any, training: bool | None = None) -> Any:
        """Encode features into the teacher factor."""
        return self.encoder(features, training=training)

    def reconstruct(self, features: Any, training: bool | None = None) -> Any:
        """Encode and decode: (batch, height, width, C) -> the same."""
        if not self.built:
            self.build(features.shape)
        return self.decoder(
            self.encoder(features, training=training), training=training
        )

    def compute_output_shape(
        self, input_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        channels = feature_channels(input_shape, "features")
        return (*input_shape[:-1], self.factor_channels(channels))

    # All variables live in the two towers, so the layer's own store is free
    # to carry the flag.
    def save_own_variables(self, store: Any) -> None:
        store["trained"] = np.asarray(self.trained)
        if self.trained_on is not None:
            digest = bytes.fromhex(self.trained_on)
            store["trained_on"] = np.frombuffer(digest, np.uint8)

    def load_own_variables(self, store: Any) -> None:
        self.trained = bool(np.asarray(store["trained"]))
        self.trained_on = None
        if "trained_on" in store.keys():  # Files of earlier versions have none.
            self.trained_on = bytes(np.asarray(store["trained_on"])).hex()

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "rate": self.rate,
            "rounding": self.rounding,
            "batch_normalization": self.batch_normalization,
            "negative_slope": self.negative_slope,
            "bottleneck": self.bottleneck,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "Paraphraser":
        # Files of earlier versions know of none.
        return cls(**{"bottleneck": None, **config})


def feature_channels(shape: tuple[int | None, ...], argument: str) -> int:
    """Return the channels of a (batch, height, width, channels) shape."""
    if len(shape) != 4 or shape[-1] is None:
        raise InputError(
            argument,
            f"shape {tuple(shape)}",
            "(batch, height, width, channels) with known channels",
            "Tap a convolutional feature map; keras_ft.taps(model) lists them.",
        )
    return shape[-1]
