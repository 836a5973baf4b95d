"""A small MobileNetV2 for images of 28 to 64 pixels."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.zoo import parts

STEM_CHANNELS = 16
LAST_CHANNELS = 64
# Per stage: expansion, output channels, blocks, stride of the first block.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 40, 3, 2))


def mobilenet_v2_small(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Build a MobileNetV2 of six blocks: 74,202 parameters, 9.6 MMAC.

    Trainable parameters and multiply-accumulates of one 32x32 RGB image, for
    10 classes.

    The blocks are those of MobileNetV2, arXiv 1801.04381. The arrangement is
    our own, for small images: the stem keeps the resolution, and the last
    map has 64 channels at a quarter of the input size, the shape in which
    the ResNets end too, so that a factor of theirs fits without resizing.

    The layers to tap are `stem`, `stage1`, `stage2` and `stage3`. `stage1` and
    `stage2` are linear bottlenecks, not rectified; `stage3` is the rectified
    map that is pooled.

    Args:
        classes: Number of classes, at least 2.
        input_shape: `(height, width, channels)`; height and width of at
            least 28 pixels, 1 or 3 channels.
        name: Name of the model.

    Returns:
        A flat Functional model of stock Keras layers that returns logits.

    Raises:
        InputError: If an argument is not one of the above.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.mobilenet_v2_small().get_layer("stage3").output.shape
    (None, 8, 8, 64)
    """
    image = parts.image_input(input_shape)
    x = parts.convolution(image, STEM_CHANNELS, 3, 1, "stem_conv")
    x = _relu6(parts.normalization(x, "stem_bn"), "stem")
    for stage, (expansion, channels, blocks, stride) in enumerate(STAGES, 1):
        for block in range(1, blocks + 1):
            prefix = f"stage{stage}_block{block}"
            ends = block == blocks and stage < len(STAGES)
            last = f"stage{stage}" if ends else f"{prefix}_out"
            step = stride if block == 1 else 1
            x = _inverted_residual(x, expansion, channels, step, prefix, last)
    x = parts.convolution(x, LAST_CHANNELS, 1, 1, "stage3_conv")
    x = _relu6(parts.normalization(x, "stage3_bn"), "stage3")
    return parts.classifier(image, x, classes, name or "mobilenet_v2_small")


def _inverted_residual(
    x: Any, expansion: int, channels: int, stride: int, prefix: str, last: str
) -> Any:
    """Expand, filter each channel, project; add the input where it fits."""
    y = x
    if expansion > 1:
        wide = x.shape[-1] * expansion
        y = parts.convolution(y, wide, 1, 1, f"{prefix}_expand")
        y = parts.normalization(y, f"{prefix}_expand_bn")
        y = _relu6(y, f"{prefix}_expand_relu")
    y = parts.depthwise_convolution(y, stride, f"{prefix}_depthwise")
    y = parts.normalization(y, f"{prefix}_depthwise_bn")
    y = _relu6(y, f"{prefix}_depthwise_relu")
    y = parts.convolution(y, channels, 1, 1, f"{prefix}_project")
    if stride > 1 or x.shape[-1] != channels:
        return parts.normalization(y, last)
    y = parts.normalization(y, f"{prefix}_project_bn")
    return keras.layers.Add(name=last)([x, y])


def _relu6(x: Any, name: str) -> Any:
    return keras.layers.ReLU(max_value=6.0, name=name)(x)
