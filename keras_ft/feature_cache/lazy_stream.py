"""Cached outputs that are computed the first time they are asked for."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.feature_cache import building
from keras_ft.feature_cache import live_check
from keras_ft.feature_cache.cached_stream import CachedStream
from keras_ft.feature_cache.request import Request
from keras_ft.feature_cache.shard import Shard
from keras_ft.feature_cache.shard_folder import ShardFolder
from keras_ft.validation.in_graph import MARK


class LazyStream(CachedStream):
    """Reads what is stored; the rest is computed, stored and handed on.

    A shard is stored before its last batch is handed out, so that a training
    which saw all of an epoch leaves all of it behind.

    Args:
        request: What to compute; it holds the teacher.
        store: What there is already.
    """

    def __init__(self, request: Request, store: ShardFolder) -> None:
        super().__init__(request.data, store, request.layout)
        self.request = request
        self.folder = store

    def _records(self, split: str, view: Any) -> tf.data.Dataset:
        def stored(view: Any) -> list[str]:
            return self._stored(split, int(view))

        def computed(view: Any, stored: Any) -> Iterator[bytes]:
            return iter(()) if stored else self._made(split, int(view))

        paths = tf.numpy_function(stored, [view], tf.string)
        paths.set_shape((None,))
        return tf.data.TFRecordDataset(paths).concatenate(
            tf.data.Dataset.from_generator(
                computed,
                output_signature=tf.TensorSpec((), tf.string),
                args=(view, tf.size(paths)),
            )
        )

    def _stored(self, split: str, view: int) -> Any:
        """Paths of a view that is complete; nothing else."""
        if not self.folder.is_complete(split, view):
            return np.zeros(0, object)
        shards = self.folder.of_view(split, view)
        return np.array(
            [str(self.folder.folder / s.name) for s in shards], object
        )

    def _made(self, split: str, view: int) -> Iterator[bytes]:
        """A view's records in order, from the store or from the teacher."""
        shards = self.folder.of_view(split, view)
        missing = [s for s in shards if s.name not in self.folder.entries]
        passes = building.passes(self.data, missing)
        try:
            for shard in shards:
                if shard in missing:
                    _, batches = next(passes)
                    yield from self._computed(shard, batches)
                else:
                    for record in self.folder.records_of(shard):
                        yield record.numpy()
        except InputError as error:
            raise _within_a_graph(error) from error

    def _computed(self, shard: Shard, batches: Any) -> Iterator[bytes]:
        def check(images: Any, record: bytes) -> None:
            values, _ = self.layout.decode(tf.constant(record))
            live_check.compare(
                self.layout,
                values,
                self.request.live(images),
                self.request.agreement,
                f"of {shard.split} batch {shard.first} in view {shard.view}",
                self.folder.where,
            )

        return building.records(
            self.request,
            shard,
            batches,
            self.folder.add,
            check if self.request.accelerated else None,
        )


def _within_a_graph(error: InputError) -> ValueError:
    """What TensorFlow hands on as text, and `explained_errors` reads."""
    argument, received = error.argument, error.received
    if not argument.isidentifier():
        argument, received = "folder", f"{argument}: {received}"
    parts = [
        str(part).replace("|", "/")
        for part in (argument, received, error.expected, error.fix)
    ]
    return ValueError(MARK + "".join(f"{part}|" for part in parts))
