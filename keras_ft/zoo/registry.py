"""Networks by name: those to train, and the trained ones of the package."""

import difflib
from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras

from keras_ft import archives
from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.zoo.mobilenet import mobilenet_v2_small
from keras_ft.zoo.network_names import WEIGHTS
from keras_ft.zoo.network_names import WIDE_RESNET
from keras_ft.zoo.network_names import shipped
from keras_ft.zoo.resnet import resnet8
from keras_ft.zoo.resnet import resnet14
from keras_ft.zoo.resnet import resnet20
from keras_ft.zoo.resnet import resnet32
from keras_ft.zoo.resnet import resnet44
from keras_ft.zoo.resnet import resnet56
from keras_ft.zoo.resnet import resnet110
from keras_ft.zoo.resnet import wide_resnet
from keras_ft.zoo.vgg import vgg8
from keras_ft.zoo.vgg import vgg13

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
_REINSTALL = "Install the package again."


def names() -> tuple[str, ...]:
    """List the names that `build` knows, smallest network of a family first.

    `build` also takes `wrn<depth>_<width>` for any other wide ResNet.

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
    """Build a zoo network, with fresh weights, from its name.

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
    wide = WIDE_RESNET.fullmatch(name)
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


def pretrained(
    name: str, weights_dir: artifacts.PathLike = WEIGHTS
) -> keras.Model:
    """Load a trained network shipped with the package.

    Args:
        name: `"fashion_mini"`, the teacher for the embedded data set.
        weights_dir: The folder of the networks and their records.

    Returns:
        A Keras model, not compiled, that returns logits.

    Raises:
        InputError: If no network of this name is installed, or its file is
            not the one that was published.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.pretrained("fashion_mini").output_shape
    (None, 10)
    """
    published = provenance(name, weights_dir)["sha256"]
    file = Path(weights_dir) / f"{name}.keras"
    if not file.is_file():
        raise InputError(
            "name",
            repr(name),
            f"the file {file}, which is missing",
            _REINSTALL,
        )
    found = artifacts.sha256(file)
    if found != published:
        raise InputError(
            "name",
            f"{file} with sha256 {found}",
            f"sha256 {published}: the file is damaged",
            _REINSTALL,
        )
    return archives.load_network(file)


def provenance(
    name: str, weights_dir: artifacts.PathLike = WEIGHTS
) -> dict[str, Any]:
    """Say where a shipped network comes from.

    Args:
        name: As for `pretrained`.
        weights_dir: As for `pretrained`.

    Returns:
        The record written when the network was trained: what it saw, how it
        was trained, its test accuracy, `sha256` of its file.

    Raises:
        InputError: If no network of this name is installed, or its record is
            unreadable.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.provenance("fashion_mini")["data"]["name"]
    'Fashion-MNIST, MIT, (c) 2017 Zalando SE'
    """
    installed = shipped(Path(weights_dir))
    if name not in installed:
        close = difflib.get_close_matches(name, installed, n=1)
        raise InputError(
            "name",
            repr(name),
            f"one of {', '.join(installed)}"
            if installed
            else "a network in this installation, which has none",
            f"Did you mean {close[0]!r}?" if close else _REINSTALL,
        )
    file = Path(weights_dir) / f"{name}.json"
    record = artifacts.read_json(file)
    if not isinstance(record, dict) or "sha256" not in record:
        raise InputError(
            "name", repr(name), f'a "sha256" in {file}', _REINSTALL
        )
    return record
