"""A folded network against its original, on a few random images."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.flat_graph import is_keras
from keras_ft.acceleration.not_foldable_error import NotFoldableError

RELATIVE_ERROR = 1e-4
COSINE = 0.9995

_EXAMPLES = 4
_FREE_SIZE = 64  # of an axis without a size


def check(
    flat: FlatGraph,
    folded: keras.Model,
    dtype: str,
    keep: Sequence[int] | None,
) -> None:
    """Compares every output of both networks.

    Raises:
        NotFoldableError: With the figure that missed its bound, or the layer
            that changed a variable or added a loss.
    """
    images = [_random(x, seed) for seed, x in enumerate(flat.network.inputs)]
    try:
        # First, so that an original with state is never called.
        found = _without_state(flat, folded, images)
        expected = _outputs(flat.network, images)
    except NotFoldableError:
        raise
    except Exception as error:  # whatever a layer of the user's raises
        raise flat.refuse(
            f"it cannot be called on random images: {type(error).__name__}"
        ) from error
    if keep is not None:
        expected = [expected[index] for index in keep]
    for index, (theirs, ours) in enumerate(zip(expected, found, strict=True)):
        if dtype == "float32":
            figure = relative_error(theirs, ours)
            missed = not figure <= RELATIVE_ERROR
            said = f"relative error {figure:.1e}, above {RELATIVE_ERROR:g}"
        else:
            figure = cosine(theirs, ours)
            missed = not figure >= COSINE
            said = f"cosine {figure:.6f}, below {COSINE}"
        if missed:
            place = index if keep is None else keep[index]
            raise flat.refuse(
                f"output {place} in {dtype} differs from the original's on "
                f"random images: {said}"
            )


def relative_error(expected: Any, found: Any) -> float:
    """The largest difference over the largest value."""
    expected, found = _float64(expected), _float64(found)
    largest = np.max(np.abs(expected), initial=np.finfo("float32").tiny)
    return float(np.max(np.abs(found - expected), initial=0.0) / largest)


def cosine(expected: Any, found: Any) -> float:
    """The smallest cosine of an example with the original's."""
    expected, found = (
        _float64(x).reshape(len(x), -1) for x in (expected, found)
    )
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    products = np.sum(expected * found, axis=1)
    tiny = np.finfo("float32").tiny
    same = np.all(expected == found, axis=1)
    return float(
        np.min(np.where(same, 1.0, products / np.maximum(lengths, tiny)))
    )


def _without_state(
    flat: FlatGraph, folded: keras.Model, images: list[Any]
) -> list[Any]:
    """The outputs, if no layer changed a variable or added a loss."""
    steps = [s for s in flat.layers() if not is_keras(type(s.operation))]
    layers = [folded.get_layer(step.name) for step in steps]
    before = [_values(layer) for layer in layers]
    outputs = _outputs(folded, images)
    for step, layer, values in zip(steps, layers, before, strict=True):
        if not all(map(np.array_equal, values, _values(layer))):
            raise flat.refuse(f"{step} changes its variables in inference")
        if layer.losses:
            raise flat.refuse(f"{step} adds losses of its own")
    return outputs


def _values(layer: Any) -> list[np.ndarray]:
    return [ops.convert_to_numpy(x) for x in layer.variables]


def _outputs(network: keras.Model, images: list[Any]) -> list[Any]:
    structure = getattr(network, "_inputs_struct", None)
    if structure is None:  # a Sequential
        (packed,) = images
    else:
        packed = keras.tree.pack_sequence_as(structure, images)
    return keras.tree.flatten(network(packed, training=False))


def _random(tensor: Any, seed: int) -> np.ndarray:
    """Images for one input; token numbers are 0 or 1, which every one has."""
    free = [_EXAMPLES, *[_FREE_SIZE] * (len(tensor.shape) - 1)]
    shape = [
        size or other for size, other in zip(tensor.shape, free, strict=True)
    ]
    rng = np.random.default_rng(seed)
    if keras.backend.is_float_dtype(tensor.dtype):
        return rng.normal(size=shape).astype(tensor.dtype)
    high = 256 if tensor.dtype == "uint8" else 2
    return rng.integers(0, high, shape).astype(tensor.dtype)


def _float64(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")
