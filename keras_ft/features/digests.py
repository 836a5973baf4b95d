"""Digests of networks and settings, equal in every process.

Layers are known by their place, not by their name: Keras numbers the names
that it gives itself, so the same network has others in another process.
"""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_ft.features.taps import Tap
from keras_ft.features.taps import taps

# Different in every process for the same network, or part of its weights.
_IRRELEVANT: tuple[str, ...] = (
    "name",
    "shared_object_id",
    "build_config",
    "compile_config",
)
_IRRELEVANT_ENDINGS: tuple[str, ...] = ("_initializer",)
# Without influence on what a network computes that is not trained.
_FOR_TRAINING = ("trainable",)
_FOR_TRAINING_ENDINGS = ("_regularizer", "_constraint")


def digest(content: Any) -> str:
    """Return the SHA-256 of anything that JSON can hold."""
    text = json.dumps(
        content, sort_keys=True, default=lambda value: type(value).__name__
    )
    return hashlib.sha256(text.encode()).hexdigest()


def weights_digest(network: keras.Model) -> str:
    """Return the SHA-256 of every bit of a network's weights."""
    found = hashlib.sha256()
    for variable in network.weights:
        array = np.asarray(variable)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def tap_digest(teacher: keras.Model, tap: Tap) -> str | None:
    """Return a digest of a teacher's weights and one of its feature maps.

    Args:
        teacher: A model, or what a feature cache has in its place.
        tap: One of its taps.

    Returns:
        The digest; `None` for a cached teacher that was read from a file,
        which does not know its own.
    """
    cached = getattr(teacher, "tap_digests", None)
    if cached is not None:
        known: str | None = cached.get(tap.name)
        return known
    if not teacher.weights:
        return None
    table = taps(teacher)
    place = next(i for i, t in enumerate(table) if t.tensor is tap.tensor)
    return place_digest(weights_digest(teacher), place)


def place_digest(weights: str, place: int) -> str:
    """Return `tap_digest` for the digest of the weights and a tap's place."""
    return digest({"teacher weights": weights, "tap": place})


def graph_digest(network: keras.Model, trained: bool = False) -> str:
    """Return the SHA-256 of a network's layers and how they are connected.

    Args:
        network: A model with a config; its weights do not matter.
        trained: Whether what counts in training only, such as regularizers
            and frozen layers, makes a difference.
    """
    names, endings = _IRRELEVANT, _IRRELEVANT_ENDINGS
    if not trained:
        names += _FOR_TRAINING
        endings += _FOR_TRAINING_ENDINGS
    places: dict[str, str] = {}

    def canonical(part: Any) -> Any:
        if isinstance(part, Mapping):
            if isinstance(part.get("name"), str):
                places.setdefault(part["name"], f"layer {len(places)}")
            return {
                key: canonical(value)
                for key, value in part.items()
                if key not in names and not key.endswith(endings)
            }
        if isinstance(part, (list, tuple)):
            return [canonical(value) for value in part]
        return places.get(part, part) if isinstance(part, str) else part

    return digest(canonical(network.get_config()))
