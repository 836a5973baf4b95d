"""Taps: find the feature maps inside a Functional or Sequential model."""

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.features import default_tap
from keras_ft.features import graph
from keras_ft.features import grids


@dataclass(frozen=True)
class Tap:
    """One tappable feature map of a model.

    Attributes:
        name: Layer name, or `backbone/layer` inside a nested model.
        shape: (height, width, channels); None where the size is free.
        stride: Input height over the map's height, None when unknown.
        layer: Class name of the layer that makes it.
        default: Whether it is the last learned spatial feature map.
        tensor: The symbolic tensor in the graph that owns it: the map, or
            the tokens that are seen as one.
        learned: Whether a learned layer made it, or an activation, sum or
            normalization behind one: what a default can be.
        tokens: Of a transformer's tokens (batch, N, channels), the first that
            has a place in the map, and N; None for a map.
    """

    name: str
    shape: tuple[int | None, ...]
    stride: int | None
    layer: str
    default: bool
    tensor: Any = field(repr=False)
    learned: bool = True
    tokens: tuple[int, int] | None = None

    def __str__(self) -> str:
        size = "x".join("?" if n is None else str(n) for n in self.shape)
        stride = "?" if self.stride is None else str(self.stride)
        mark = "  <- default" if self.default else ""
        made_by = f"{self.layer}{self._said_of_tokens()}"
        return f"{self.name:<40} {size:>14} {stride:>6}  {made_by}{mark}"

    def _said_of_tokens(self) -> str:
        if self.tokens is None:
            return ""
        first, count = self.tokens
        height, width = self.shape[:2]
        end = first + height * width  # type: ignore[operator]
        said = f", tokens {first} to {end - 1}"
        return said + f" of {count}" if end - first < count else said


class _TapTable(tuple[Tap, ...]):
    """List the taps of a model in order of computation; print a table."""

    why_no_default = ""

    def __str__(self) -> str:
        header = f"{'tap':<40} {'HxWxC':>14} {'stride':>6}  layer"
        lines = [header, *map(str, self)]
        if self.why_no_default:
            lines.append(f"No default: {self.why_no_default}.")
        return "\n".join(lines)

    __repr__ = __str__


def taps(model: keras.Model) -> _TapTable:
    """List the feature maps of a model, the default one marked.

    The default is the *last learned spatial feature map*, after its
    activation: the last map with more than one position that a learned layer
    has made, or an activation or normalization after one. Preprocessing,
    dropout, pooling and predictions are none. For a ResNet that is the last
    residual group after its final ReLU, the map that Factor Transfer uses.

    A transformer's tokens (batch, N, channels) are seen as the map of the
    patches that they stand for, class and register tokens set aside.

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
    steps, outputs = graph.steps(model)
    found = grids.grids(steps)
    default = default_tap.default_step(steps, outputs, found)
    learned = default_tap.learned(steps)
    image = model.inputs[0].shape
    height = image[1] if len(image) == 4 else None
    table = _TapTable(
        Tap(
            name=step.name,
            shape=(grid.height, grid.width, step.tensor.shape[-1]),
            stride=_stride(height, grid.height),
            layer=type(step.operation).__name__,
            default=place == default,
            tensor=step.tensor,
            learned=learned[place],
            tokens=None if grid.count is None else (grid.first, grid.count),
        )
        for place, (step, grid) in enumerate(zip(steps, found, strict=True))
        if step.operation is not None and grid is not None and grid.seen
    )
    if default is None:
        table.why_no_default = _why_no_default(model, table)
    return table


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
            f"No `{argument}` was given, and {table.why_no_default}; name a "
            "layer, or use transfers.SoftTargets, which compares outputs."
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


def former_default(model: keras.Model) -> str | None:
    """Return the default tap of runs that were begun before they noted it.

    The last map with more than one position that was no output, be it made by
    a Dropout; None where there was none.
    """
    outputs = {id(tensor) for tensor in model.outputs}
    names = [
        tap.name
        for tap in taps(model)
        if len(tap.tensor.shape) == 4
        and tap.shape[:2] != (1, 1)
        and id(tap.tensor) not in outputs
    ]
    return names[-1] if names else None


def _why_no_default(model: keras.Model, table: Sequence[Tap]) -> str:
    """Return what was looked for, and what there is instead."""
    if not table:
        why = "it has neither"
    elif not any(tap.learned for tap in table):
        why = "no learned layer made those it has"
    elif all(tap.shape[:2] == (1, 1) for tap in table if tap.learned):
        why = "those it has are of one position"
    else:
        why = "those it has are predictions"
    return (
        f"model '{model.name}' has no spatial feature map: learned maps "
        "(batch, height, width, channels) and tokens (batch, N, channels) of "
        "a grid of patches were looked for, in nested models as well, and "
        f"{why}"
    )


def _stride(height: int | None, length: int | None) -> int | None:
    return height // length if height and length else None
