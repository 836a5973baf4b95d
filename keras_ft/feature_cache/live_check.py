"""Compares rows of a cache with the live teacher."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.feature_cache.agreement import Agreement
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.forward import Forward
from keras_ft.feature_cache.layout import LOGITS
from keras_ft.feature_cache.layout import Layout
from keras_ft.feature_cache.layout import of_rows
from keras_ft.feature_cache.shard import SPLITS

COUNTS = {"train": 2}


def check(stream: CachedStream, live: Forward, agreement: Agreement) -> None:
    """Computes random batches anew, other ones each time.

    Two of training and one each of validation and test, all their rows, of
    what there is.

    Args:
        stream: What training would see.
        live: The teacher.
        agreement: How near they must be.

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
                agreement,
                f"of {split} batch {shard.first + place} in view {shard.view}",
                stream.store.where,
            )


def compare(
    layout: Layout,
    cached: list[Any],
    live: Any,
    agreement: Agreement,
    place: str,
    where: str,
) -> None:
    """Compares the outputs of one batch.

    Raises:
        InputError: A cosine is below its limit.
    """
    for name, truth, other in zip(layout.names, live, cached, strict=True):
        truth = tf.cast(tf.convert_to_tensor(truth), tf.float32)
        _, cosines = of_rows(truth, other)
        missed = agreement.missed(cosines)
        if missed is not None:
            raise InputError(
                where,
                f"'{name}' {place} at {missed}, to the live teacher's",
                f"rows of at least {agreement.row}, {agreement.mean} in the "
                "mean",
                "Build the cache anew in another folder, from this teacher "
                "and data; if it comes again, with acceleration='none'.",
            )
