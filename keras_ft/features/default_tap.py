"""Choose the feature map that is tapped where none is named."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.features.graph import Step
from keras_ft.features.grids import Grid

# Where Keras keeps its layers tells what they are; subclasses count as well.
_PREPROCESSING = "keras.src.layers.preprocessing."
# They pass on what others have made: dropout, pooling, padding, resizing.
_PASSING_PACKAGES = (
    _PREPROCESSING,
    "keras.src.layers.regularization.",
    "keras.src.layers.pooling.",
    "keras.src.layers.reshaping.",
)
_PASSING = {
    *("AdaptiveAveragePool", "AdaptiveMaxPool", "AveragePool", "MaxPool"),
    *("Cast", "CropImages", "GetItem", "Identity", "Pad", "PadImages"),
    *("Reshape", "Resize", "StopGradient", "TokensToMap", "Transpose"),
}
_NONLINEAR_PACKAGES = ("keras.src.layers.activations.", "keras.src.ops.nn")
# A prediction ends in one of these; nothing between two layers does.
_SQUASHING = {
    *("hardsigmoid", "linear", "logsoftmax", "sigmoid", "softmax", "tanh"),
}
_NORMS = (
    keras.layers.BatchNormalization,
    keras.layers.GroupNormalization,
    keras.layers.LayerNormalization,
    keras.layers.RMSNormalization,
    keras.layers.UnitNormalization,
)


def learned(steps: Sequence[Step]) -> list[bool]:
    """Return of each step whether it makes features that were learned.

    A layer with weights does, and an activation, sum or normalization behind
    one; not preprocessing, dropout, pooling and others that pass on what they
    are given. Where a model has no weights, as the teacher of a cache, all was
    learned.
    """
    nothing = not any(_weights(step.operation) for step in steps)
    behind: list[bool] = []
    for step in steps:
        before = any(behind[i] for i in step.sources)
        behind.append(nothing or before or learns(step.operation))
    return [
        found and not _passes(step)
        for found, step in zip(behind, steps, strict=True)
    ]


def default_step(
    steps: Sequence[Step], outputs: Sequence[int], grids: Sequence[Grid | None]
) -> int | None:
    """Return the place of the last learned spatial feature map, if any.

    It has more than one position and is no prediction. Where there are several
    last ones beside each other, it is the map that all of them come from, if
    that is as large, or else the one behind most layers.
    """
    layers: list[int] = []
    for step in steps:
        before = max((layers[i] for i in step.sources), default=0)
        layers.append(before + learns(step.operation))
    predictions = set[int]().union(
        *(_prediction(steps, i) for i in outputs if is_several(grids[i]))
    )
    usable = {
        place
        for place, is_learned in enumerate(learned(steps))
        if is_learned and is_several(grids[place]) and place not in predictions
    }
    parents = _common_sources(steps)
    found = [
        _last(steps, output, usable, grids, parents, layers)
        for output in outputs
    ]
    chosen = [place for place in found if place is not None]
    return max(chosen, key=lambda place: layers[place], default=None)


def learns(operation: Any) -> bool:
    """Return whether a layer makes features by weights of its own.

    Those of preprocessing and of normalizations do not count.
    """
    return (
        _weights(operation)
        and not isinstance(operation, _NORMS)
        and not _is_in(operation, (_PREPROCESSING,))
    )


def is_several(grid: Grid | None) -> bool:
    """Return whether a grid is seen and has more than one position."""
    return (
        grid is not None and grid.seen and (grid.height, grid.width) != (1, 1)
    )


def _last(
    steps: Sequence[Step],
    output: int,
    usable: set[int],
    grids: Sequence[Grid | None],
    parents: Sequence[tuple[int, int]],
    layers: Sequence[int],
) -> int | None:
    """Return the last usable map behind one output."""
    needed, followed = {output}, set[int]()
    for place in range(output, -1, -1):
        if place not in needed:
            continue
        needed.update(steps[place].sources)
        if place in usable or place in followed:
            followed.update(steps[place].sources)
    ends = [i for i in needed & usable if i not in followed]
    if not ends:
        return None
    common = ends[0]
    for end in ends[1:]:
        common = _meet(common, end, parents)
    while common >= 0 and common not in usable:
        common = parents[common][0]
    largest = max(_positions(grids[i]) for i in ends)
    if common >= 0 and _positions(grids[common]) == largest:
        return common
    return max(ends, key=lambda place: (layers[place], place))


def _common_sources(steps: Sequence[Step]) -> list[tuple[int, int]]:
    """Return for each step the last one that every path to it goes through.

    The immediate dominator of compilers, as (place, depth in their tree);
    (-1, 0) where there is none.
    """
    parents: list[tuple[int, int]] = []
    for step in steps:
        common = -1
        for index, source in enumerate(step.sources):
            common = source if not index else _meet(common, source, parents)
        depth = parents[common][1] + 1 if common >= 0 else 0
        parents.append((common, depth))
    return parents


def _meet(one: int, other: int, parents: Sequence[tuple[int, int]]) -> int:
    while one != other and one >= 0 and other >= 0:
        if parents[one][1] >= parents[other][1]:
            one = parents[one][0]
        else:
            other = parents[other][0]
    return one if one == other else -1


def _prediction(steps: Sequence[Step], output: int) -> set[int]:
    """Return the steps that make an output of positions, if it predicts.

    A layer without an activation, or one that ends in softmax or the like,
    makes a prediction. What ends in another activation or in a normalization
    is a feature map, that of a network without its head.
    """
    found = {output}
    while True:
        step = steps[output]
        activation = _activation(step)
        if activation == "" and not _passes(step):
            is_features = isinstance(step.operation, _NORMS) or (
                type(step.operation).__name__ == "Concatenate"
            )
            return set() if is_features else found
        if activation not in _SQUASHING | {""}:
            return set()
        if _weights(step.operation) or not step.sources:
            return found
        output = step.sources[0]
        found.add(output)


def _activation(step: Step) -> str:
    """Return the name of a step's activation; "" for none at all."""
    operation = step.operation
    function = getattr(operation, "activation", None)
    if function is None:
        if not _is_in(step.operation, _NONLINEAR_PACKAGES):
            return ""
        function = type(operation)
    name = getattr(function, "__name__", type(function).__name__)
    return name.lower().replace("_", "")


def _passes(step: Step) -> bool:
    name = type(step.operation).__name__
    return (
        step.operation is None
        or name in _PASSING
        or (name == "Activation" and _activation(step) == "linear")
        or _is_in(step.operation, _PASSING_PACKAGES)
    )


def _weights(operation: Any) -> bool:
    return bool(getattr(operation, "weights", None))


def _is_in(operation: Any, packages: tuple[str, ...]) -> bool:
    return any(
        cls.__module__.startswith(packages) for cls in type(operation).__mro__
    )


def _positions(grid: Any) -> int:
    """Return how many positions a grid has; 0 where the size is free."""
    return (grid.height or 0) * (grid.width or 0)
