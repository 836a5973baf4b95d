"""Compares rows of a cache with the live teacher."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.forward import Forward
from keras_ft.feature_cache.layout import LOGITS
from keras_ft.feature_cache.layout import Layout
from keras_ft.feature_cache.layout import distance
from keras_ft.feature_cache.shard import SPLITS

COUNTS = {"train": 2}


def check(stream: CachedStream, live: Forward, limit: float) -> None:
    """Computes random batches anew, other ones each time.

    Two of training and one each of validation and test, all their rows, of
    what there is.

    Args:
        stream: What training would see.
        live: The teacher.
        limit: The smallest cosine of a row.

    Raises:
        InputError: A row of the cache is not what the teacher says.
    """
    draw = np.random.default_rng()
    finished = stream.store.finished()
    for split in SPLITS:
        there = [shard for shard in finished if shard.split == split]
        if not there:
            continue
        chosen = draw.choice(len(there), COUNTS.get(split, 1))
        places = [
            (there[index], int(draw.integers(there[index].batches)))
            for index in chosen
        ]
        for (shard, place), (x, _) in zip(
            places, stream.some(split, places), strict=True
        ):
            cached = list(x["features"].values())
            cached += [x[LOGITS]] if stream.layout.logits else []
            compare(
                stream.layout,
                cached,
                live(x["images"]),
                limit,
                f"of {split} batch {shard.first + place} in view {shard.view}",
                stream.store.where,
            )


def compare(
    layout: Layout,
    cached: list[Any],
    live: Any,
    limit: float,
    place: str,
    where: str,
) -> None:
    """Compares the outputs of one batch.

    Raises:
        InputError: A cosine is below the limit.
    """
    for name, truth, other in zip(layout.names, live, cached, strict=True):
        truth = tf.cast(tf.convert_to_tensor(truth), tf.float32)
        cosine = float(distance(truth, other)[2])
        # Not "<": NaN is no agreement either.
        if not cosine >= limit:
            raise InputError(
                where,
                f"'{name}' {place} at a cosine of {cosine:.5f} to the live "
                "teacher's",
                f"at least {limit}",
                "Build the cache anew in another folder, from this teacher "
                "and data.",
            )
