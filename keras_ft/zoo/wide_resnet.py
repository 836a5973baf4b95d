"""Wide residual networks: pre-activation ResNets of depth 6n + 4."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.zoo import parts

CHANNELS = (16, 32, 64)


def wide_resnet(
    depth: int,
    width: int,
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """WRN-depth-width without dropout, returning logits.

    The network of Zagoruyko and Komodakis, arXiv 1605.07146, built as in
    HobbitLong/RepDistiller, models/wrn.py.

    Trainable parameters, and multiply-accumulates of one 32x32 RGB image, for
    10 classes:

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
        A flat Functional model of stock Keras layers.

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
            x = _block(x, channels * factor, stride, prefix, last)
    x = parts.relu(parts.normalization(x, "stage3_bn"), "stage3")
    name = name or f"wrn{depth}_{width}"
    return parts.classifier(image, x, classes, name)


def _block(x: Any, channels: int, stride: int, prefix: str, last: str) -> Any:
    """Pre-activation block; a widening one feeds its shortcut from BN1."""
    y = parts.relu(parts.normalization(x, f"{prefix}_bn1"), f"{prefix}_relu1")
    if x.shape[-1] != channels:
        name = f"{prefix}_shortcut_conv"
        x = parts.convolution(y, channels, 1, stride, name)
    y = parts.convolution(y, channels, 3, stride, f"{prefix}_conv1")
    y = parts.relu(parts.normalization(y, f"{prefix}_bn2"), f"{prefix}_relu2")
    y = parts.convolution(y, channels, 3, 1, f"{prefix}_conv2")
    return keras.layers.Add(name=last)([x, y])
