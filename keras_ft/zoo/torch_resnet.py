"""Trained PyTorch ResNets as Keras networks."""

import re
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import archives
from keras_ft.errors import InputError
from keras_ft.zoo.resnet import Shortcut
from keras_ft.zoo.resnet import cifar_resnet

# Spellings of the same parameter in public repositories, and ours.
_ALIASES = (
    (re.compile(r"^module\."), ""),  # from torch.nn.DataParallel
    (re.compile(r"\.downsample\."), ".shortcut."),
    (re.compile(r"^fc\."), "linear."),
)
# Per kind of layer: the PyTorch names in the order of Keras' weights.
_PARAMETERS = {
    keras.layers.Conv2D: ("weight",),
    keras.layers.BatchNormalization: (
        "weight",
        "bias",
        "running_mean",
        "running_var",
    ),
    keras.layers.Dense: ("weight", "bias"),
}
_STEM_AND_HEAD = {"stem_conv": "conv1", "stem_bn": "bn1", "head": "linear"}
_SHORTCUT = {"shortcut_conv": "shortcut.0", "shortcut_bn": "shortcut.1"}
_MOST_BLOCKS = 200
_BLOCK_LAYER = re.compile(r"stage(\d)_block(\d+)_(\w+)")


def load_torch_resnet(
    source: str | Path | Mapping[str, Any],
    input_shape: Sequence[int] = (32, 32, 3),
) -> keras.Model:
    """Load a trained PyTorch ResNet into the zoo network it belongs to.

    Depth, number of classes and kind of shortcut are read off the names and
    shapes. Names are those of akamaster/pytorch_resnet_cifar10 and of the
    Factor Transfer authors' code: `conv1`, `bn1`, `layer1.0.conv1`, ...,
    `linear`; also RepDistiller's `downsample` and `fc`, and the `module.` of
    `torch.nn.DataParallel`. Nothing is guessed or left over: every array is
    used and every weight is set.

    Write the file with PyTorch, so that this package does not need it:
    `np.savez(path, **{k: v.cpu().numpy() for k, v in
    model.state_dict().items()})`.

    Args:
        source: An `.npz` file, or a mapping from names to arrays (a
            `state_dict()` of CPU tensors is one).
        input_shape: `(height, width, channels)` of the images; height and
            width of at least 28 pixels.

    Returns:
        The network of `zoo.cifar_resnet`, weights loaded.

    Raises:
        InputError: If the file cannot be read, or an array is missing, left
            over, of the wrong shape or not finite; it names the array.

    Example:

    >>> from keras_ft import zoo
    >>> zoo.load_torch_resnet("resnet20_cifar10.npz").name
    'resnet20'
    """
    arrays = _canonical(
        source if isinstance(source, Mapping) else archives.load_arrays(source)
    )
    model = cifar_resnet(
        _depth(arrays), _classes(arrays), input_shape, _shortcut(arrays)
    )
    targets = _targets(model)
    _check_names(arrays, targets)
    for name, variable in targets.items():
        variable.assign(_keras_layout(name, arrays[name], variable))
    return model


def _canonical(source: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the arrays under one spelling, without batch norm's counters."""
    arrays: dict[str, np.ndarray] = {}
    for original, value in source.items():
        if original.endswith(".num_batches_tracked"):
            continue
        name = original
        for pattern, replacement in _ALIASES:
            name = pattern.sub(replacement, name)
        if name in arrays:
            raise _refusal(original, f"a second array for {name!r}", "one")
        arrays[name] = np.asarray(value)
    return arrays


def _depth(arrays: Mapping[str, Any]) -> int:
    blocks = {
        int(match[1])
        for name in arrays
        if (match := re.match(r"layer1\.(\d+)\.", name))
    }
    count = max(len(blocks), 1)
    # Names alone must not make a network of any depth: a block has 10 arrays
    # in each of 3 stages. He et al. 2016 went as deep as 1,202 layers.
    if count > _MOST_BLOCKS or 15 * count > len(arrays) + 15:
        raise _refusal(
            "layer1",
            f"{count:,} blocks in {len(arrays):,} arrays",
            f"30 arrays for each of at most {_MOST_BLOCKS} blocks",
        )
    return 6 * count + 2


def _classes(arrays: Mapping[str, np.ndarray]) -> int:
    weight = arrays.get("linear.weight")
    if weight is None:
        raise _refusal("linear.weight", "no such array", "(classes, 64)")
    if weight.ndim != 2:
        raise _refusal("linear.weight", weight.shape, "(classes, 64)")
    return int(weight.shape[0])


def _shortcut(arrays: Mapping[str, Any]) -> Shortcut:
    has_parameters = any(".shortcut." in name for name in arrays)
    return "projection" if has_parameters else "identity"


def _targets(model: keras.Model) -> dict[str, Any]:
    """Return every variable of the network under its PyTorch name."""
    targets = {}
    for layer in model.layers:
        for variable, parameter in zip(
            layer.weights, _PARAMETERS.get(type(layer), ()), strict=True
        ):
            targets[f"{_torch_name(layer.name)}.{parameter}"] = variable
    return targets


def _torch_name(layer_name: str) -> str:
    match = _BLOCK_LAYER.fullmatch(layer_name)
    if match is None:
        return _STEM_AND_HEAD[layer_name]
    stage, block, part = match.groups()
    return f"layer{stage}.{int(block) - 1}.{_SHORTCUT.get(part, part)}"


def _check_names(arrays: Mapping[str, Any], targets: Mapping[str, Any]) -> None:
    for name, variable in targets.items():
        if name not in arrays:
            shape = _torch_shape(variable)
            raise _refusal(name, "no such array", f"shape {shape}")
    for name, array in arrays.items():
        if name not in targets:
            expected = "no array of this name in this network"
            raise _refusal(name, f"shape {array.shape}", expected)


def _torch_shape(variable: Any) -> tuple[int, ...]:
    shape = tuple(variable.shape)
    return shape[:1:-1] + shape[:2] if len(shape) == 4 else shape[::-1]


def _keras_layout(name: str, array: np.ndarray, variable: Any) -> np.ndarray:
    expected = _torch_shape(variable)
    if array.shape != expected:
        raise _refusal(name, f"shape {array.shape}", f"shape {expected}")
    if not np.issubdtype(array.dtype, np.floating):
        raise _refusal(name, f"dtype {array.dtype}", "a floating point dtype")
    if not np.isfinite(array).all():
        raise _refusal(name, "NaN or infinite values", "finite values")
    if array.ndim == 4:  # (out, in, height, width)
        return array.transpose(2, 3, 1, 0)
    return array.T


def _refusal(name: str, received: Any, expected: str) -> InputError:
    return InputError(
        f'source["{name}"]',
        received,
        expected,
        "Load the arrays of one CIFAR ResNet (6n + 2 layers, stages of 16, "
        "32 and 64 channels), all of them and nothing else.",
    )
