"""What there is to know of the data before anything is computed."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from keras_ft.data.dataset import ImageData
from keras_ft.feature_cache.shard import SPLITS


@dataclasses.dataclass(frozen=True)
class Survey:
    """Sizes of the splits, and a few training batches.

    Attributes:
        sizes: Rows, batches and batch size of an epoch of each split.
        batches: The first training batch of the first, the middle and the
            last view, `(images, labels)` as the pipeline gives them.
    """

    sizes: Mapping[str, Mapping[str, int]]
    batches: list[tuple[Any, Any]]


def survey(data: ImageData, views: int | None) -> Survey:
    """Reads a few batches of each split.

    Args:
        data: The images.
        views: How many views there are to be; `None` for no limit.
    """
    chosen = sorted({0, 1, 2} if views is None else {0, views // 2, views - 1})
    firsts = tf.data.Dataset.from_tensor_slices(
        tf.constant(chosen, tf.int64)
    ).flat_map(lambda view: data._stream(view).take(1))
    batches = list(firsts)
    sizes = {}
    for split in SPLITS:
        train = split == "train"
        images, _ = batches[0] if train else next(iter(getattr(data, split)))
        batch, count = int(images.shape[0]), data.sizes[split]
        steps = data.steps_per_epoch if train else -(-count // batch)
        rows = min(count, steps * batch)
        sizes[split] = {"rows": rows, "batches": steps, "batch_size": batch}
    return Survey(sizes, batches)
