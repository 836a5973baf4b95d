"""The key: everything a cache depends on, so that a change has a name."""

import hashlib
import json
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.feature_cache.store import FORMAT as FORMAT
from keras_ft.feature_cache.store import SPLITS
from keras_ft.features.digests import digest
from keras_ft.features.digests import graph_digest
from keras_ft.features.digests import weights_digest

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


def of_form(
    dtype: str, views: int | None, logits: bool, taps: list[int]
) -> Key:
    """Return the entries of what is kept; taps by place in the teacher."""
    return {
        "format version": FORMAT,
        "dtype": dtype,
        "views": views,
        "logits": bool(logits),
        "taps": taps,
    }


def of_teacher(teacher: keras.Model) -> Key:
    """Return the teacher's entries: every bit of its weights, its graph."""
    return {
        "teacher weights": weights_digest(teacher),
        "teacher architecture": graph_digest(teacher),
    }


def teacher_digest(key: Key) -> str:
    """Return one digest for the weights and the graph of a key's teacher."""
    names = ("teacher weights", "teacher architecture")
    return digest({name: key[name] for name in names})


def first_batches(data: ImageData, views: int | None) -> list[Any]:
    """Return the first batch of the first, the middle and the last view.

    Args:
        data: The images.
        views: How many views there are to be; of no limit, the first three.
    """
    chosen = sorted({0, 1, 2} if views is None else {0, views // 2, views - 1})

    epochs = [tf.data.Dataset.from_tensors(np.int64(view)) for view in chosen]
    return [next(iter(data.numbered("train", epoch))) for epoch in epochs]


def of_data(data: ImageData, batches: list[Any]) -> Key:
    """Return the entries of images, labels, order and augmentation.

    Raw images and labels are taken whole up to 512 MiB; beyond that, 1,024
    of each split. Order and augmentation are known by some batches, image
    by image and pixel by pixel.

    Args:
        data: The images.
        batches: What `first_batches` returned.
    """
    order, pixels = hashlib.sha256(), hashlib.sha256()
    scale, shift = data.normalization.scale_and_shift()
    for images, _, numbers, _ in batches:
        order.update(np.asarray(numbers).tobytes())
        # Back to pixels: normalization is an entry of its own.
        whole = np.rint((np.asarray(images) - shift) / scale)
        pixels.update(whole.astype(np.uint8).tobytes())
    found_images, found_labels = _examples(data)
    normalization = data.normalization
    return {
        "image size": list(data.input_shape),
        "normalization": [list(normalization.mean), list(normalization.std)],
        "batch size": data.batch_size,
        "steps per epoch": data.steps_per_epoch,
        "rows": list(rows_of(data).values()),
        "images": found_images,
        "labels": found_labels,
        "order or seed": order.hexdigest(),
        "augmentation": pixels.hexdigest(),
    }


def rows_of(data: ImageData) -> dict[str, int]:
    """Return how many images a view of each split has."""
    return {split: data.rows(split) for split in SPLITS}


def _examples(data: ImageData) -> tuple[str, str]:
    whole = sum(data.sizes.values()) * int(np.prod(data.input_shape))
    images, labels = hashlib.sha256(), hashlib.sha256()
    for split, size in data.sizes.items():
        count = size if whole <= FULL_BYTES else min(size, SAMPLE)
        some, known = data.examples(split, count)
        images.update(some.tobytes())
        labels.update(known.tobytes())
    return images.hexdigest(), labels.hexdigest()


def check(stored: Key, wanted: Key, where: str) -> None:
    """Refuse a cache that was made for something else.

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
