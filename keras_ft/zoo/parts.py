"""Build the pieces that every zoo network is made of.

Stock Keras layers only, no operations outside a layer: the networks load with
plain Keras, and tools that walk a model layer by layer can rebuild them.
"""

import operator
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.errors import InputError

MINIMUM_SIZE = 28
BN_MOMENTUM = 0.9  # PyTorch's momentum=0.1 counts the other way round.
BN_EPSILON = 1e-5


def whole_number(argument: str, value: Any, minimum: int) -> int:
    """Return `value` as an `int`; raise `InputError` if it is none.

    Args:
        argument: Name to use in the error.
        value: Any integer type, NumPy's included; `bool` is refused.
        minimum: The smallest accepted value.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = minimum - 1
    if isinstance(value, bool) or number < minimum:
        raise InputError(
            argument,
            repr(value),
            f"a whole number of at least {minimum}",
            f"Pass for example {argument}={max(minimum, 10)}.",
        )
    return number


def image_input(input_shape: Sequence[int]) -> Any:
    """Start a network with the input called `image`.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width
            at least 28, channels 1 or 3.

    Raises:
        InputError: If `input_shape` is anything else.
    """
    try:
        height, width, channels = map(operator.index, input_shape)
    except (TypeError, ValueError):
        height, width, channels = 0, 0, 0
    if min(height, width) < MINIMUM_SIZE or channels not in (1, 3):
        raise InputError(
            "input_shape",
            repr(input_shape),
            "(height, width, channels) with height and width of at least "
            f"{MINIMUM_SIZE} and 1 or 3 channels",
            "Resize or pad smaller images; put the channels last.",
        )
    return keras.Input((height, width, channels), name="image")


def he_normal() -> Any:
    """Return a new He initializer over fan out, not truncated.

    The one RepDistiller's ResNet, WRN and VGG use (`models/resnet.py`:
    `kaiming_normal_(mode="fan_out")`). The Factor Transfer authors' code
    leaves PyTorch's default, uniform over fan in, for its backbones. Every
    layer needs its own: an initializer draws the same values every time.
    """
    return keras.initializers.VarianceScaling(
        2.0, mode="fan_out", distribution="untruncated_normal"
    )


def convolution(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
    """Convolve without bias, aligned as in PyTorch.

    TensorFlow's "same" pads an even-sized map only below and to the right
    when the stride is 2; PyTorch pads every side. Padding explicitly keeps
    weights interchangeable between the two.

    Args:
        x: Feature maps `(batch, height, width, channels)`.
        filters: Number of output channels.
        size: Kernel height and width, 1 or 3.
        stride: 1 or 2; the result has `ceil(height / stride)` rows.
        name: Name of the layer.
    """
    x, padding = _padded(x, size, stride, name)
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer=he_normal(),
        name=name,
    )(x)


def depthwise_convolution(x: Any, stride: int, name: str) -> Any:
    """Convolve each channel by a 3x3 kernel; bias, alignment as above."""
    x, padding = _padded(x, 3, stride, name)
    return keras.layers.DepthwiseConv2D(
        3,
        strides=stride,
        padding=padding,
        use_bias=False,
        depthwise_initializer=he_normal(),
        name=name,
    )(x)


def normalization(x: Any, name: str) -> Any:
    """Normalize over the batch, with PyTorch's constants."""
    return keras.layers.BatchNormalization(
        momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name
    )(x)


def relu(x: Any, name: str) -> Any:
    """Rectify, in a layer of its own that can be tapped."""
    return keras.layers.ReLU(name=name)(x)


def classifier(image: Any, x: Any, classes: int, name: str) -> keras.Model:
    """End a network: global average pooling, then the Dense layer `head`.

    Args:
        image: What `image_input` returned.
        x: The last feature maps.
        classes: Number of classes, at least 2.
        name: Name of the model.

    Returns:
        A Functional model from images to logits `(batch, classes)`.

    Raises:
        InputError: If `classes` is not a whole number of at least 2.
    """
    units = whole_number("classes", classes, minimum=2)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    logits = keras.layers.Dense(
        units,
        # Linear layers of PyTorch start like this, the bias apart.
        kernel_initializer=keras.initializers.VarianceScaling(
            1 / 3, mode="fan_in", distribution="uniform"
        ),
        # Half-precision logits lose the small differences the losses live
        # on; under any other policy this is the policy's own type.
        dtype=keras.config.dtype_policy().variable_dtype,
        name="head",
    )(x)
    return keras.Model(image, logits, name=name)


def _padded(x: Any, size: int, stride: int, name: str) -> tuple[Any, str]:
    """Return the maps with PyTorch's padding, and what is left for Keras'."""
    if size == 3 and stride == 2:
        return keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x), "valid"
    return x, "same"
