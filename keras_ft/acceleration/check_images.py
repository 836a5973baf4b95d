"""Draw images on which a folded network is compared with its original."""

from typing import Any

import keras
import numpy as np

from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.features.default_tap import learns

_EXAMPLES = 4
_FREE_SIZE = 64  # of an axis without a size
# As images come: standardized, pixels from 0 to 1, pixels. The first of equals.
_RANGES = ("standard", "unit", "pixels")


def draw(flat: FlatGraph) -> list[np.ndarray]:
    """Draw images for each input, in the range that the network expects.

    Pixels of 0 to 255, numbers of 0 to 1, or normal ones of mean 0 and
    deviation 1: what the layers and operations before the first learned one,
    `Rescaling` and the like, bring nearest to mean 0 and deviation 1. A
    network without any gets normal numbers.
    """
    drawn = [_draw(flat, chosen) for chosen in _RANGES]
    distances = [_distance(flat, images) for images in drawn]
    return drawn[int(np.argmin(distances))]


def given(flat: FlatGraph, images: Any) -> list[np.ndarray] | None:
    """Return the first of a user's images; None where they are no arrays."""
    is_array = hasattr(images, "shape") and hasattr(images, "__getitem__")
    if not is_array or len(flat.network.inputs) != 1:
        return None
    (expected,) = flat.network.inputs
    first = keras.ops.convert_to_numpy(images[:_EXAMPLES])
    return [first.astype(expected.dtype)] if len(first) else None


def _draw(flat: FlatGraph, chosen: str) -> list[np.ndarray]:
    return [
        _random(tensor, np.random.default_rng(seed), chosen)
        for seed, tensor in enumerate(flat.network.inputs)
    ]


def _random(tensor: Any, rng: np.random.Generator, chosen: str) -> np.ndarray:
    """Draw images for one input; token numbers are 0 or 1, which all have."""
    free = [_EXAMPLES, *[_FREE_SIZE] * (len(tensor.shape) - 1)]
    shape = [
        size or other for size, other in zip(tensor.shape, free, strict=True)
    ]
    if not keras.backend.is_float_dtype(tensor.dtype):
        high = 256 if tensor.dtype == "uint8" else 2
        return rng.integers(0, high, shape).astype(tensor.dtype)
    if chosen == "pixels":
        return rng.integers(0, 256, shape).astype(tensor.dtype)
    if chosen == "unit":
        return rng.uniform(size=shape).astype(tensor.dtype)
    return rng.normal(size=shape).astype(tensor.dtype)


def _distance(flat: FlatGraph, images: list[np.ndarray]) -> float:
    """Return how far from standardized the first learned layers find them."""
    values: dict[int, Any] = dict(zip(flat.inputs, images, strict=True))
    found: set[int] = set()
    for step in flat.steps:
        if not values.keys() >= set(step.inputs):
            continue
        if learns(step.operation):
            found.update(step.inputs)
            continue
        args, kwargs = flat.arguments(step, values)
        if step.is_layer and step.operation._call_has_training_arg:
            kwargs["training"] = False
        try:
            results = keras.tree.flatten(step.operation(*args, **kwargs))
        except Exception:  # whatever a layer of the user's raises
            return np.inf
        values.update(zip(step.outputs, results, strict=True))
    distances = [0.0]
    for number in found:
        value = keras.ops.convert_to_numpy(values[number]).astype("float64")
        deviation = np.maximum(value.std(), np.finfo("float32").tiny)
        distances.append(abs(np.log(deviation)) + abs(value.mean()) / deviation)
    return float(np.max(distances))
