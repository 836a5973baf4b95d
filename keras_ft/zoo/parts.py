"""The few pieces that every zoo network is made of.

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
    """Returns `value` as an `int`, or raises `InputError`.

    Args:
        argument: Name to use in the error.
        value: Any integer type, NumPy's included; `bool` is refused.
        minimum: The smallest accepted value.

    Returns:
        The value as a Python `int`.

    Raises:
        InputError: If the value is not an integer or is below `minimum`.

    Example:

    >>> whole_number("classes", 10, minimum=2)
    10
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
    """Starts a network: the input called `image`.

    Args:
        input_shape: `(height, width, channels)` in pixels; height and width
            at least 28, channels 1 or 3.

    Returns:
        A `KerasTensor` of shape `(None, height, width, channels)`.

    Raises:
        InputError: If `input_shape` is anything else.

    Example:

    >>> image_input((32, 32, 3)).shape
    (None, 32, 32, 3)
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
    """He initialization over fan out, not truncated.

    The one RepDistiller's ResNet, WRN and VGG use (`models/resnet.py`:
    `kaiming_normal_(mode="fan_out")`). The Factor Transfer authors' code
    leaves PyTorch's default, uniform over fan in, for its backbones.

    Returns:
        A new initializer; one per layer, as an initializer draws the same
        values every time it is called.

    Example:

    >>> he_normal().mode
    'fan_out'
    """
    return keras.initializers.VarianceScaling(
        2.0, mode="fan_out", distribution="untruncated_normal"
    )


def convolution(x: Any, filters: int, size: int, stride: int, name: str) -> Any:
    """A convolution without bias, aligned as in PyTorch.

    TensorFlow's "same" pads an even-sized map only below and to the right
    when the stride is 2; PyTorch pads every side. Padding explicitly keeps
    weights interchangeable between the two.

    Args:
        x: Feature maps `(batch, height, width, channels)`.
        filters: Number of output channels.
        size: Kernel height and width, 1 or 3.
        stride: 1 or 2.
        name: Name of the layer.

    Returns:
        Feature maps `(batch, ceil(height / stride), ceil(width / stride),
        filters)`.

    Example:

    >>> convolution(image_input((32, 32, 3)), 16, 3, 2, "stem_conv").shape
    (None, 16, 16, 16)
    """
    padding = "same"
    if size == 3 and stride == 2:
        x = keras.layers.ZeroPadding2D(1, name=f"{name}_pad")(x)
        padding = "valid"
    return keras.layers.Conv2D(
        filters,
        size,
        strides=stride,
        padding=padding,
        use_bias=False,
        kernel_initializer=he_normal(),
        name=name,
    )(x)


def normalization(x: Any, name: str) -> Any:
    """Batch normalization with PyTorch's constants.

    Args:
        x: Feature maps.
        name: Name of the layer.

    Returns:
        Feature maps of the same shape.

    Example:

    >>> normalization(image_input((32, 32, 3)), "stem_bn").shape
    (None, 32, 32, 3)
    """
    return keras.layers.BatchNormalization(
        momentum=BN_MOMENTUM, epsilon=BN_EPSILON, name=name
    )(x)


def relu(x: Any, name: str) -> Any:
    """A rectifier as a layer of its own, so that it can be tapped.

    Args:
        x: Feature maps.
        name: Name of the layer.

    Returns:
        Feature maps of the same shape.

    Example:

    >>> relu(image_input((32, 32, 3)), "stem").shape
    (None, 32, 32, 3)
    """
    return keras.layers.ReLU(name=name)(x)


def classifier(image: Any, x: Any, classes: int, name: str) -> keras.Model:
    """Ends a network: global average pooling, then the Dense layer `head`.

    Args:
        image: What `image_input` returned.
        x: The last feature maps.
        classes: Number of classes, at least 2.
        name: Name of the model.

    Returns:
        A Functional model from images to logits `(batch, classes)`.

    Raises:
        InputError: If `classes` is not a whole number of at least 2.

    Example:

    >>> image = image_input((32, 32, 3))
    >>> classifier(image, image, classes=10, name="linear").output_shape
    (None, 10)
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
