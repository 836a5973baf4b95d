"""Tell where on the image the positions of a model's tensors lie.

A map (batch, height, width, channels) says so itself. A transformer's tokens
(batch, N, channels) lie on the grid of patches that they were made of, beside
tokens of no place: a class token, registers.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import replace
from typing import Any

import keras
from keras import ops

from keras_ft.features.graph import Step

# More tokens without a place than any published network has.
_MOST_EXTRA = 16
_RESHAPES = {"Reshape", "ExpandDims", "Squeeze", "Flatten"}
_TRANSPOSES = {"Permute", "Transpose", "Swapaxes", "Moveaxis"}
_PRODUCTS = {"Dot", "Einsum", "Matmul", "Softmax"}


@dataclass(frozen=True)
class Grid:
    """Describe the positions of a tensor.

    Attributes:
        height, width: How many; None where the size is free.
        first: Where the height * width tokens begin; 0 for a map.
        count: How many tokens there are in all; None for a map.
        seen: False for what is made of positions but shows none of them in
            its shape, for example an attention matrix.
    """

    height: int | None
    width: int | None
    first: int = 0
    count: int | None = None
    seen: bool = True


def grids(steps: Sequence[Step]) -> list[Grid | None]:
    """Return the grid of each step; None where there is none."""
    found: list[Grid | None] = []
    for step in steps:
        shape = step.tensor.shape
        known = [found[place] for place in step.sources]
        # Of several, one that shows its positions.
        source = max(
            (grid for grid in known if grid is not None),
            key=lambda grid: grid.seen,
            default=None,
        )
        kind = type(step.operation).__name__
        if source is None:
            grid = Grid(shape[1], shape[2]) if len(shape) == 4 else None
        elif len(shape) == 4 and _is_map(step, known, source):
            grid = Grid(shape[1], shape[2])
        else:
            grid = None
            if len(shape) == 3 and not _mixes(kind, shape, source):
                grid = _of_tokens(shape[1], kind, source)
            if grid is not None and kind == "Concatenate":
                grid = _joined(grid, step, steps, found)
            grid = grid or Grid(source.height, source.width, seen=False)
        found.append(grid)
    return found


def _is_map(step: Step, known: Sequence[Grid | None], source: Grid) -> bool:
    """Return whether axes 1 and 2 of a tensor of rank 4 are positions."""
    kind, size = type(step.operation).__name__, step.tensor.shape[1:3]
    same = size == (source.height, source.width)
    if kind in _TRANSPOSES:  # back again
        return same and not source.seen
    if kind in _RESHAPES and source.count is None:
        return _alike(size, source)
    if any(grid and grid.seen and grid.count is None for grid in known):
        return True
    is_own = not type(step.operation).__module__.startswith("keras.")
    return same or (is_own and _alike(size, source))


def _alike(size: tuple[int | None, ...], grid: Grid) -> bool:
    """Return whether a size can be the grid's, enlarged or made smaller."""
    height, width = size
    if None in (height, width, grid.height, grid.width):
        return grid.seen and grid.count is None
    return height * grid.width == width * grid.height  # type: ignore[operator]


def _mixes(kind: str, shape: Any, source: Grid) -> bool:
    """Return whether axis 1 holds something else than positions."""
    if not source.seen:
        return kind not in _RESHAPES | _TRANSPOSES
    if kind in _TRANSPOSES:
        return True
    return kind in _PRODUCTS and shape[1] == shape[2]


def _of_tokens(count: int | None, kind: str, source: Grid) -> Grid | None:
    """Return the grid of so many tokens made from a source's positions."""
    height, width = source.height, source.width
    if count is None or height is None or width is None:
        return None
    if count == source.count:
        return Grid(height, width, source.first, count)
    if not 0 <= count - height * width <= _MOST_EXTRA:
        if source.seen and source.count is None and kind in _RESHAPES:
            return None  # It has the rows of a map for tokens.
        # Patches cut by a layer of one's own, or merged: as high for its
        # width as the source.
        sizes = [
            (rows, rows * width // height)
            for rows in range(2, count + 1)
            if rows * width % height == 0
            and rows * (rows * width // height) <= count
        ]
        if not sizes:
            return None
        height, width = sizes[-1]
    extra = count - height * width
    # Those without a place come first, as in every published network.
    return Grid(height, width, extra, count) if extra <= _MOST_EXTRA else None


def _joined(
    grid: Grid, step: Step, steps: Sequence[Step], found: list[Grid | None]
) -> Grid:
    """Return the grid of tokens that were put one behind the other."""
    before = 0
    for place in step.sources:
        source = found[place]
        if source is not None and source.seen and source.count is not None:
            if source.count == grid.count:  # along another axis
                return grid
            first = before + (source.first or 0)
            return replace(grid, first=first)
        before += steps[place].tensor.shape[1]
    return grid


@keras.saving.register_keras_serializable(package="keras_ft")
class TokensToMap(keras.layers.Layer):
    """Turn a transformer's tokens into the map that they stand for.

    Args:
        height, width: The grid of patches, row by row.
        first: How many tokens without a place come before it.

    Input shape: (batch, N, channels), N at least first + height * width.
    Output shape: (batch, height, width, channels).

    Example:

    >>> tokens = np.ones((2, 197, 768), "float32")  # a class token first
    >>> keras.ops.shape(TokensToMap(14, 14, first=1)(tokens))
    (2, 14, 14, 768)
    """

    def __init__(
        self, height: int, width: int, first: int = 0, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.height = height
        self.width = width
        self.first = first

    def call(self, tokens: Any) -> Any:
        end = self.first + self.height * self.width
        shape = (-1, self.height, self.width, tokens.shape[-1])
        return ops.reshape(tokens[:, self.first : end], shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        return (input_shape[0], self.height, self.width, input_shape[-1])

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "height": self.height,
            "width": self.width,
            "first": self.first,
        }
