"""Zoo networks by name, for configurations and command lines."""

import difflib
import re
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial

import keras

from keras_ft.errors import InputError
from keras_ft.zoo.cifar_resnet import resnet8
from keras_ft.zoo.cifar_resnet import resnet14
from keras_ft.zoo.cifar_resnet import resnet20
from keras_ft.zoo.cifar_resnet import resnet32
from keras_ft.zoo.cifar_resnet import resnet44
from keras_ft.zoo.cifar_resnet import resnet56
from keras_ft.zoo.cifar_resnet import resnet110
from keras_ft.zoo.mobilenet import mobilenet_v2_small
from keras_ft.zoo.vgg import vgg8
from keras_ft.zoo.vgg import vgg13
from keras_ft.zoo.wide_resnet import wide_resnet

_BUILDERS: dict[str, Callable[..., keras.Model]] = {
    "resnet8": resnet8,
    "resnet14": resnet14,
    "resnet20": resnet20,
    "resnet32": resnet32,
    "resnet44": resnet44,
    "resnet56": resnet56,
    "resnet110": resnet110,
    "wrn16_1": partial(wide_resnet, 16, 1),
    "wrn16_2": partial(wide_resnet, 16, 2),
    "wrn40_1": partial(wide_resnet, 40, 1),
    "wrn40_2": partial(wide_resnet, 40, 2),
    "vgg8": vgg8,
    "vgg13": vgg13,
    "mobilenet_v2_small": mobilenet_v2_small,
}
_WIDE_RESNET = re.compile(r"wrn(\d+)_(\d+)")


def names() -> tuple[str, ...]:
    """The names that `build` knows, smallest network of a family first.

    `build` also takes `wrn<depth>_<width>` for any other wide ResNet.

    Returns:
        The names.

    Example:

    >>> from keras_ft import zoo
    >>> "resnet20" in zoo.names()
    True
    """
    return tuple(_BUILDERS)


def build(
    name: str,
    classes: int = 10,
    input_shape: Sequence[int] = (32, 32, 3),
) -> keras.Model:
    """Builds a zoo network, with fresh weights, from its name.

    Args:
        name: One of `names()`, or `wrn<depth>_<width>`.
        classes: Number of classes, at least 2.
        input_shape: `(height, width, channels)`; height and width of at
            least 28 pixels, 1 or 3 channels.

    Returns:
        A flat Functional model of stock Keras layers that returns logits.

    Raises:
        InputError: If no network has this name, or it refuses the arguments.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.build("wrn16_1", classes=100).output_shape
    (None, 100)
    """
    builder = _BUILDERS.get(name)
    wide = _WIDE_RESNET.fullmatch(name)
    if builder is None and wide is not None:
        builder = partial(wide_resnet, int(wide[1]), int(wide[2]))
    if builder is None:
        close = difflib.get_close_matches(name, names(), n=3)
        raise InputError(
            "name",
            repr(name),
            f"one of {', '.join(names())}, or wrn<depth>_<width>",
            f"Did you mean {' or '.join(close)}?"
            if close
            else "Pick one of these, or build your own Keras model.",
        )
    return builder(classes=classes, input_shape=input_shape)
