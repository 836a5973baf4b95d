"""What a cache depends on: one entry each, so that a change has a name."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_ft.data.dataset import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache.survey import Survey

FORMAT = 1
# Images beyond this are fingerprinted by a sample of each split.
FULL_BYTES = 2**29
SAMPLE = 1024

Key = dict[str, Any]

# If one of the first is changed, the second cannot but differ as well.
_FOLLOWS = {
    "augmentation": {
        "order or seed",
        "images",
        "image size",
        "batch size",
        "views",
    },
    "order or seed": {"batch size", "labels", "views"},
    "images": {"image size"},
    "steps per epoch": {"batch size"},
}
# Different in every process for the same network, or part of its weights.
_IRRELEVANT = ("name", "shared_object_id", "build_config", "compile_config")
_IRRELEVANT_ENDINGS = ("_initializer",)
# Without influence on what a network computes that is not trained.
_FOR_TRAINING = ("trainable",)
_FOR_TRAINING_ENDINGS = ("_regularizer", "_constraint")


def of_form(
    dtype: str, views: int | None, logits: bool, taps: list[int]
) -> Key:
    """The entries of what is kept; taps by their place in the teacher."""
    return {
        "format version": FORMAT,
        "dtype": dtype,
        "views": views,
        "logits": bool(logits),
        "taps": taps,
    }


def of_teacher(teacher: keras.Model) -> Key:
    """The teacher's entries: every bit of its weights, and its graph.

    Layers are known by their place, not by their name: Keras numbers names
    that it gives itself, so they differ between processes.
    """
    names = _IRRELEVANT + _FOR_TRAINING
    endings = _IRRELEVANT_ENDINGS + _FOR_TRAINING_ENDINGS
    return {
        "teacher weights": _weights(teacher),
        "teacher architecture": _graph(teacher, _Omitted(names, endings)),
    }


def of_student(student: keras.Model, tap: int) -> Key:
    """The entries of a network that is to be trained.

    Args:
        student: With its initial weights. What counts in training only, such
            as regularizers and frozen layers, is an entry as well.
        tap: Place of its tap in the table of taps.
    """
    omitted = _Omitted(_IRRELEVANT, _IRRELEVANT_ENDINGS)
    return {
        "student weights": _weights(student),
        "student architecture": _graph(student, omitted),
        "student tap": tap,
    }


def _weights(network: keras.Model) -> str:
    found = hashlib.sha256()
    for variable in network.weights:
        array = np.asarray(variable)
        found.update(f"{array.dtype}{array.shape}".encode())
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()


def _graph(network: keras.Model, omitted: "_Omitted") -> str:
    text = json.dumps(
        omitted.canonical(network.get_config(), {}),
        sort_keys=True,
        default=lambda value: type(value).__name__,
    )
    return hashlib.sha256(text.encode()).hexdigest()


class _Omitted:
    """A configuration without some entries, layers known by their place."""

    def __init__(
        self, names: tuple[str, ...], endings: tuple[str, ...]
    ) -> None:
        self.names = names
        self.endings = endings

    def canonical(self, part: Any, places: dict[str, str]) -> Any:
        if isinstance(part, Mapping):
            if isinstance(part.get("name"), str):
                places.setdefault(part["name"], f"layer {len(places)}")
            return {
                key: self.canonical(value, places)
                for key, value in part.items()
                if key not in self.names and not key.endswith(self.endings)
            }
        if isinstance(part, (list, tuple)):
            return [self.canonical(value, places) for value in part]
        return places.get(part, part) if isinstance(part, str) else part


def of_data(data: ImageData, found: Survey) -> Key:
    """The entries of images, labels, order and augmentation.

    Raw images and labels are taken whole up to 512 MiB; beyond that, 1,024
    of each split. Order and augmentation are known by the first batches of
    the first, the middle and the last view, pixel by pixel.
    """
    sizes = found.sizes
    images, labels = _examples(data)
    order, pixels = hashlib.sha256(), hashlib.sha256()
    scale, shift = data.normalization.scale_and_shift()
    for batch_images, batch_labels in found.batches:
        order.update(np.asarray(batch_labels, np.int32).tobytes())
        # Back to pixels: normalization is an entry of its own.
        whole = np.rint((np.asarray(batch_images) - shift) / scale)
        pixels.update(whole.astype(np.uint8).tobytes())
    normalization = data.normalization
    return {
        "image size": list(data.input_shape),
        "normalization": [list(normalization.mean), list(normalization.std)],
        "batch size": [size["batch_size"] for size in sizes.values()],
        "steps per epoch": [size["batches"] for size in sizes.values()],
        "rows": [size["rows"] for size in sizes.values()],
        "images": images,
        "labels": labels,
        "order or seed": order.hexdigest(),
        "augmentation": pixels.hexdigest(),
    }


def _examples(data: ImageData) -> tuple[str, str]:
    whole = sum(data.sizes.values()) * int(np.prod(data.input_shape))
    images, labels = hashlib.sha256(), hashlib.sha256()
    for split, size in data.sizes.items():
        count = size if whole <= FULL_BYTES else min(size, SAMPLE)
        some, known = data.examples(split, count)
        images.update(some.tobytes())
        labels.update(known.tobytes())
    return images.hexdigest(), labels.hexdigest()


def digest(entries: Mapping[str, Any]) -> str:
    """SHA-256 over entries."""
    text = json.dumps(dict(entries), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


def check(stored: Key, wanted: Key, where: str) -> None:
    """Refuses a cache that was made for something else.

    Args:
        stored: The key in the manifest.
        wanted: The entries that matter now.
        where: The cache, for the message.

    Raises:
        InputError: Names every entry that differs.
    """
    # Through JSON, as the stored ones: tuples become lists.
    wanted = json.loads(json.dumps(wanted))
    changed = {name for name in wanted if stored.get(name) != wanted[name]}
    named = [
        name
        for name in wanted
        if name in changed and not _FOLLOWS.get(name, set()) & changed
    ]
    if named:
        raise InputError(
            ", ".join(named),
            _values(wanted, named),
            f"{_values(stored, named)}, with which {where} was built",
            "Use what the cache was built with, or build another in a folder "
            "of its own.",
        )


def _values(key: Key, names: list[str]) -> str:
    shown = []
    for name in names:
        value = key.get(name, "nothing")
        is_digest = isinstance(value, str) and len(value) == 64
        shown.append(f"{value[:12]}..." if is_digest else repr(value))
    return ", ".join(shown)
