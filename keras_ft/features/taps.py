"""Taps: find the feature maps inside a Functional or Sequential model."""

import difflib
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.features import graph


@dataclass(frozen=True)
class Tap:
    """One tappable feature map of a model.

    Attributes:
        name: Layer name, or `backbone/layer` inside a nested model.
        shape: (height, width, channels); None where the size is free.
        stride: Input height over the map's height, None when unknown.
        layer: Class name of the layer that makes it.
        default: Whether it is the last spatial feature map.
        tensor: The symbolic tensor in the graph that owns it.
    """

    name: str
    shape: tuple[int | None, ...]
    stride: int | None
    layer: str
    default: bool
    tensor: Any = field(repr=False)

    def __str__(self) -> str:
        size = "x".join("?" if n is None else str(n) for n in self.shape)
        stride = "?" if self.stride is None else str(self.stride)
        mark = "  <- default" if self.default else ""
        return f"{self.name:<40} {size:>14} {stride:>6}  {self.layer}{mark}"


class _TapTable(tuple[Tap, ...]):
    """List the taps of a model in order of computation; print a table."""

    def __str__(self) -> str:
        header = f"{'tap':<40} {'HxWxC':>14} {'stride':>6}  layer"
        return "\n".join([header, *map(str, self)])

    __repr__ = __str__


def taps(model: keras.Model) -> _TapTable:
    """List the feature maps of a model, the default one marked.

    The default is the *last spatial feature map*: the last map of rank 4 with
    more than one position that is not itself an output of the model. For a
    ResNet that is the last residual group after its final ReLU, the map that
    Factor Transfer uses.

    Args:
        model: A built Functional or Sequential model; nested ones are entered
            and their layers are called `backbone/layer`.

    Returns:
        A tuple of `Tap` that prints as a table.

    Raises:
        InputError: The model has no graph: it is subclassed, or a Sequential
            model that was never built.

    Example:

    >>> print(keras_ft.taps(keras_ft.zoo.resnet20()))
    tap                                    HxWxC stride  layer
    ...
    stage3                                8x8x64      4  ReLU  <- default
    """
    graph.check_has_graph(model)
    outputs = {id(tensor) for tensor in model.outputs}
    found = [
        (name, operation, tensor)
        for name, operation, tensor in graph.tensors(model)
        if len(tensor.shape) == 4
    ]
    spatial = [
        tensor
        for _, _, tensor in found
        if id(tensor) not in outputs and tuple(tensor.shape[1:3]) != (1, 1)
    ]
    image = model.inputs[0].shape
    height = image[1] if len(image) == 4 else None
    return _TapTable(
        Tap(
            name=name,
            shape=tuple(tensor.shape[1:]),
            stride=_stride(height, tensor.shape[1]),
            layer=type(operation).__name__,
            default=bool(spatial) and tensor is spatial[-1],
            tensor=tensor,
        )
        for name, operation, tensor in found
    )


def find_tap(model: keras.Model, layer_name: str | None, argument: str) -> Tap:
    """Find a tap by name, or the default one for None.

    Args:
        model: A built Functional or Sequential model.
        layer_name: `layer`, `backbone/layer`, or None.
        argument: The caller's argument, named in errors.

    Raises:
        InputError: No such tap; the message suggests near misses.
    """
    table = taps(model)
    chosen = [
        tap
        for tap in table
        if (tap.default if layer_name is None else tap.name == layer_name)
    ]
    if len(chosen) == 1:
        return chosen[0]
    names = [tap.name for tap in table]
    if not chosen and layer_name is None:
        raise InputError(
            argument,
            f"None, but model '{model.name}' has no spatial feature map",
            "a model with a (batch, height, width, channels) map inside",
            "Factor Transfer needs convolutional features; for other models "
            "use transfers.SoftTargets.",
        )
    if chosen:
        raise InputError(
            argument,
            f"'{layer_name}', called {len(chosen)} times in '{model.name}'",
            "a layer that is called once",
            f"Choose another of: {', '.join(dict.fromkeys(names))}.",
        )
    near = difflib.get_close_matches(str(layer_name), names, n=3, cutoff=0.4)
    hint = f"Did you mean {', '.join(map(repr, near))}? " if near else ""
    raise InputError(
        argument,
        f"'{layer_name}', which is no feature map of '{model.name}'",
        f"one of: {', '.join(names)}",
        f"{hint}keras_ft.taps(model) prints them with their shapes.",
    )


def _stride(height: int | None, length: int | None) -> int | None:
    return height // length if height and length else None
