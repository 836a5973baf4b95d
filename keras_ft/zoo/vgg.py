"""VGG-8 and VGG-13 for small images, with batch normalization.

Built as in HobbitLong/RepDistiller, models/vgg.py (`vgg8_bn`, `vgg13_bn`),
without the convolution biases that batch normalization makes idle there.
Cards give trainable parameters and multiply-accumulates (MACs) of one 32x32
RGB image, both for 10 classes.
"""

from collections.abc import Sequence

import keras

from keras_ft.zoo import parts

CHANNELS = (64, 128, 256, 512, 512)
# From this size on the map before the last part is still 8x8, and is pooled.
LAST_POOL_SIZE = 64


def vgg8(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Build VGG-8, one convolution a part: 3,917,386 parameters, 96.1 MMAC.

    The layers to tap are `stem`, `stage1`, ..., `stage4`, the rectifiers that
    end the five parts of 64, 128, 256, 512 and 512 channels (RepDistiller's
    block0 to block4). A part after the stem begins by pooling 2x2; the last
    does so only if both sides of the image have at least 64 pixels, so
    `stage4` is 4x4 for 32x32 and 64x64 images alike.

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
    >>> zoo.vgg8(classes=10).get_layer("stage4").output.shape
    (None, 4, 4, 512)
    """
    return _vgg(1, classes, input_shape, name or "vgg8")


def vgg13(
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
    name: str | None = None,
) -> keras.Model:
    """Build VGG-13, two convolutions a part: 9,413,066 parameters, 284.9 MMAC.

    Arguments, result, layer names and errors as in `vgg8`.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.vgg13(classes=10).get_layer("stage4").output.shape
    (None, 4, 4, 512)
    """
    return _vgg(2, classes, input_shape, name or "vgg13")


def _vgg(
    convolutions: int, classes: int, input_shape: Sequence[int], name: str
) -> keras.Model:
    image = parts.image_input(input_shape)
    last_stage = len(CHANNELS) - 1
    pools_last = min(image.shape[1:3]) >= LAST_POOL_SIZE
    x = image
    for stage, channels in enumerate(CHANNELS):
        prefix = f"stage{stage}" if stage else "stem"
        if 0 < stage < last_stage or (stage == last_stage and pools_last):
            x = keras.layers.MaxPooling2D(2, name=f"{prefix}_pool")(x)
        for index in range(1, convolutions + 1):
            last = index == convolutions
            x = parts.convolution(x, channels, 3, 1, f"{prefix}_conv{index}")
            x = parts.normalization(x, f"{prefix}_bn{index}")
            x = parts.relu(x, prefix if last else f"{prefix}_relu{index}")
    return parts.classifier(image, x, classes, name)
