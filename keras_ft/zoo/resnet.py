"""Residual networks for small images: three stages of 16, 32, 64 channels.

`cifar_resnet` has depth 6n + 2, `wide_resnet` 6n + 4. Figures are trainable
parameters and multiply-accumulates (MACs) of one 32x32 RGB image, both for 10
classes. "Projection" shortcuts (option B, the default) are those of the Factor
Transfer authors' networks (Jangho-Kim/Factor-Transfer-pytorch,
Models/resnet.py) and of RepDistiller; "identity" shortcuts (option A) those of
the ResNet paper, arXiv 1512.03385.
"""

from collections.abc import Sequence
from typing import Any
from typing import Literal

import keras

from keras_ft.errors import InputError
from keras_ft.zoo import parts

Shortcut = Literal["projection", "identity"]

CHANNELS = (16, 32, 64)
SHORTCUTS = ("projection", "identity")


def cifar_resnet(
    depth: int,
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build a ResNet of depth 6n + 2, for example 8, 20 or 56.

    The layers to tap are `stem`, `stage1`, `stage2` and `stage3`, each the
    rectifier that ends its part; `stage3`, 64 channels at a quarter of the
    input size, is the map Factor Transfer uses. `head` is the Dense layer.

    Args:
        depth: Number of weighted layers: 8, 14, 20, ..., always 6n + 2.
        classes: Number of classes, at least 2.
        input_shape: `(height, width, channels)`; height and width of at
            least 28 pixels, 1 or 3 channels.
        shortcut: What joins blocks of different width: `"projection"`, a
            strided 1x1 convolution with batch normalization, or
            `"identity"`, every second pixel with zero channels added evenly
            on both sides, which has no parameters.
        name: Name of the model; `resnet<depth>` by default.

    Returns:
        A flat Functional model of stock Keras layers that returns logits.

    Raises:
        InputError: If an argument is not one of the above.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.cifar_resnet(8, classes=10).get_layer("stage3").output.shape
    (None, 8, 8, 64)
    """
    blocks, remainder = divmod(parts.whole_number("depth", depth, 8) - 2, 6)
    if remainder:
        raise InputError(
            "depth",
            depth,
            "6n + 2, as in 8, 14, 20, 32, 44, 56, 110",
            f"Use depth={6 * blocks + 2} or depth={6 * blocks + 8}.",
        )
    if shortcut not in SHORTCUTS:
        raise InputError(
            "shortcut",
            repr(shortcut),
            " or ".join(map(repr, SHORTCUTS)),
            'Use shortcut="projection" unless weights demand the other.',
        )
    image = parts.image_input(input_shape)
    x = parts.convolution(image, CHANNELS[0], 3, 1, "stem_conv")
    x = parts.relu(parts.normalization(x, "stem_bn"), "stem")
    for stage, channels in enumerate(CHANNELS, start=1):
        for block in range(1, blocks + 1):
            prefix = f"stage{stage}_block{block}"
            last = f"stage{stage}" if block == blocks else f"{prefix}_relu2"
            x = _block(x, channels, shortcut, prefix, last)
    return parts.classifier(image, x, classes, name or f"resnet{depth}")


def resnet8(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-8: 78,042 parameters (identity: 75,290), 12.5 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet8(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(8, classes, input_shape, shortcut, name)


def resnet14(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-14: 175,258 parameters (identity: 172,506), 26.7 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet14(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(14, classes, input_shape, shortcut, name)


def resnet20(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-20: 272,474 parameters (identity: 269,722), 40.8 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet20(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(20, classes, input_shape, shortcut, name)


def resnet32(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-32: 466,906 parameters (identity: 464,154), 69.1 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet32(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(32, classes, input_shape, shortcut, name)


def resnet44(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-44: 661,338 parameters (identity: 658,586), 97.4 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet44(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(44, classes, input_shape, shortcut, name)


def resnet56(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-56: 855,770 parameters (identity: 853,018), 125.7 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet56(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(56, classes, input_shape, shortcut, name)


def resnet110(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    shortcut: Shortcut = "projection",
    name: str | None = None,
) -> keras.Model:
    """Build ResNet-110: 1,730,714 parameters (identity: 1,727,962), 253.1 MMAC.

    Arguments, result and errors as in `cifar_resnet`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.resnet110(classes=10).output_shape
    (None, 10)
    """
    return cifar_resnet(110, classes, input_shape, shortcut, name)


def wide_resnet(
    depth: int,
    width: int,
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Build the wide ResNet WRN-depth-width, without dropout.

    The network of Zagoruyko and Komodakis, arXiv 1605.07146, built as in
    HobbitLong/RepDistiller, models/wrn.py.

    | network  | parameters |  MMAC |
    |----------|-----------:|------:|
    | wrn16_1  |    175,066 |  26.7 |
    | wrn16_2  |    691,674 | 101.1 |
    | wrn40_1  |    563,930 |  83.3 |
    | wrn40_2  |  2,243,546 | 327.6 |

    The layers to tap are `stem`, `stage1`, `stage2` and `stage3`. In a
    pre-activation network the sum that ends a stage is not rectified:
    `stage1` and `stage2` are those sums, `stage3` is the normalized and
    rectified map that is pooled. The last bare sum, which RepDistiller taps,
    is `stage3_block<n>_add`.

    Args:
        depth: Number of weighted layers: 10, 16, 22, ..., always 6n + 4.
        width: Factor on the 16, 32 and 64 channels of the stages, from 1.
        classes: Number of classes, at least 2.
        input_shape: `(height, width, channels)`; height and width of at
            least 28 pixels, 1 or 3 channels.
        name: Name of the model; `wrn<depth>_<width>` by default.

    Returns:
        A flat Functional model of stock Keras layers that returns logits.

    Raises:
        InputError: If an argument is not one of the above.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.wide_resnet(16, 2).get_layer("stage3").output.shape
    (None, 8, 8, 128)
    """
    blocks, remainder = divmod(parts.whole_number("depth", depth, 10) - 4, 6)
    if remainder:
        raise InputError(
            "depth",
            depth,
            "6n + 4, as in 16, 22, 28, 40",
            f"Use depth={6 * blocks + 4} or depth={6 * blocks + 10}.",
        )
    factor = parts.whole_number("width", width, minimum=1)
    image = parts.image_input(input_shape)
    x = parts.convolution(image, CHANNELS[0], 3, 1, "stem")
    for stage, channels in enumerate(CHANNELS, start=1):
        for block in range(1, blocks + 1):
            prefix = f"stage{stage}_block{block}"
            ends = block == blocks and stage < len(CHANNELS)
            last = f"stage{stage}" if ends else f"{prefix}_add"
            stride = 2 if stage > 1 and block == 1 else 1
            x = _wide_block(x, channels * factor, stride, prefix, last)
    x = parts.relu(parts.normalization(x, "stage3_bn"), "stage3")
    name = name or f"wrn{depth}_{width}"
    return parts.classifier(image, x, classes, name)


def _block(
    x: Any, channels: int, shortcut: Shortcut, prefix: str, last: str
) -> Any:
    """Return two convolutions plus a shortcut; halves the map if it widens."""
    stride = 1 if x.shape[-1] == channels else 2
    y = parts.convolution(x, channels, 3, stride, f"{prefix}_conv1")
    y = parts.relu(parts.normalization(y, f"{prefix}_bn1"), f"{prefix}_relu1")
    y = parts.convolution(y, channels, 3, 1, f"{prefix}_conv2")
    y = parts.normalization(y, f"{prefix}_bn2")
    if stride == 2 and shortcut == "projection":
        x = parts.convolution(x, channels, 1, 2, f"{prefix}_shortcut_conv")
        x = parts.normalization(x, f"{prefix}_shortcut_bn")
    elif stride == 2:
        x = _subsample_and_widen(x, channels, f"{prefix}_shortcut")
    y = keras.layers.Add(name=f"{prefix}_add")([x, y])
    return parts.relu(y, last)


def _subsample_and_widen(x: Any, channels: int, prefix: str) -> Any:
    """Keep every second pixel and add zero channels on both sides."""
    extra = (channels - x.shape[-1]) // 2
    x = keras.layers.AveragePooling2D(1, strides=2, name=f"{prefix}_pool")(x)
    # Told "channels first", the layer pads the last two axes. Ours are width
    # and channels: one stock layer, and one PAD operation on the phone.
    return keras.layers.ZeroPadding2D(
        ((0, 0), (extra, extra)),
        data_format="channels_first",
        name=f"{prefix}_pad",
    )(x)


def _wide_block(
    x: Any, channels: int, stride: int, prefix: str, last: str
) -> Any:
    """Normalize first; a widening block feeds its shortcut from there."""
    y = parts.relu(parts.normalization(x, f"{prefix}_bn1"), f"{prefix}_relu1")
    if x.shape[-1] != channels:
        name = f"{prefix}_shortcut_conv"
        x = parts.convolution(y, channels, 1, stride, name)
    y = parts.convolution(y, channels, 3, stride, f"{prefix}_conv1")
    y = parts.relu(parts.normalization(y, f"{prefix}_bn2"), f"{prefix}_relu2")
    y = parts.convolution(y, channels, 3, 1, f"{prefix}_conv2")
    return keras.layers.Add(name=last)([x, y])
