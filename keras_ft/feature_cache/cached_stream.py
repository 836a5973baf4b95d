"""Images and cached outputs of the teacher, row by row together."""

from typing import Any

import tensorflow as tf

from keras_ft.data import pipeline
from keras_ft.data.dataset import ImageData
from keras_ft.feature_cache.layout import LOGITS
from keras_ft.feature_cache.layout import MEASURES
from keras_ft.feature_cache.layout import NO_ERROR
from keras_ft.feature_cache.layout import Errors
from keras_ft.feature_cache.layout import Layout
from keras_ft.feature_cache.layout import worst
from keras_ft.feature_cache.shard import SPLITS
from keras_ft.feature_cache.shard import Shard
from keras_ft.feature_cache.shard_folder import ShardFolder
from keras_ft.feature_cache.shard_memory import ShardMemory
from keras_ft.validation.in_graph import MARK

_MISALIGNED = (
    f"{MARK}data|labels other than those the cache was built with|"
    "the same batches in the same order|"
    "Load the data as it was for FeatureCache.build.|"
)


class CachedStream:
    """`tf.data` pipelines over data and cache.

    Each batch is compared with the labels it had when the cache was built.

    Args:
        data: The images, in the order of the cache.
        store: The records.
        layout: How to read them.
    """

    def __init__(
        self,
        data: ImageData,
        store: ShardFolder | ShardMemory,
        layout: Layout,
    ) -> None:
        self.data = data
        self.store = store
        self.layout = layout
        self.key: dict[str, Any] = store.content["key"]
        self.views = store.views
        self.steps: dict[str, int] = dict(
            zip(SPLITS, self.key["steps per epoch"], strict=True)
        )

    @property
    def bytes(self) -> int:
        """What all records take."""
        return sum(entry["bytes"] for entry in self._entries())

    @property
    def error(self) -> dict[str, dict[str, float]]:
        """The worst of all shards, for each output."""
        errors: Errors = [list(NO_ERROR) for _ in self.layout.names]
        for entry in self._entries():
            errors = worst(errors, entry["errors"])
        return {
            name: dict(zip(MEASURES, found, strict=True))
            for name, found in zip(self.layout.names, errors, strict=True)
        }

    def _entries(self) -> list[dict[str, Any]]:
        # A copy: another thread may be adding to them.
        return list(self.store.entries.values())

    def train_from(self, epoch: int) -> tf.data.Dataset:
        """Endless batches; epoch e is view e modulo the views."""

        def view(epoch: Any) -> tf.data.Dataset:
            number = epoch if self.views is None else epoch % self.views
            return self._view("train", number)

        epochs = pipeline.epochs_from(epoch)
        return self._finished(epochs.flat_map(view))

    def ordered(self, split: str) -> tf.data.Dataset:
        """Validation or test, once."""
        # Within a function, so that what is stored is looked up each time.
        only = tf.data.Dataset.from_tensors(tf.constant(0, tf.int64))
        joined = only.flat_map(lambda view: self._view(split, view))
        steps = tf.data.experimental.assert_cardinality(self.steps[split])
        return self._finished(joined).apply(steps)

    def some(self, split: str, places: list[tuple[Shard, int]]) -> list[Any]:
        """Batches of finished shards, as training sees them."""
        # One pipeline for all: it takes longer to make than to read.
        chosen = tf.data.Dataset.from_tensor_slices(
            tf.constant([(s.view, s.first + p) for s, p in places], tf.int64)
        )
        batches = chosen.flat_map(
            lambda place: self._batches(split, place[0]).skip(place[1]).take(1)
        )
        records = (
            next(iter(self.store.records_of(shard).skip(place)))
            for shard, place in places
        )
        return [
            self._join(record, batch)
            for record, batch in zip(records, batches, strict=True)
        ]

    def _batches(self, split: str, view: Any) -> Any:
        # `train_from` checks its number, which a tensor cannot be for.
        return (
            self.data._stream(view)
            if split == "train"
            else getattr(self.data, split)
        )

    def _records(self, split: str, view: Any) -> tf.data.Dataset:
        return self.store.records(split, view)

    def _view(self, split: str, view: Any) -> tf.data.Dataset:
        steps = self.steps[split]
        # Records come first, so that a missing or a further one is an error
        # and not the end.
        records = self._records(split, view).apply(
            tf.data.experimental.assert_cardinality(steps)
        )
        batches = self._batches(split, view).take(steps)
        both = tf.data.Dataset.zip((records, batches))
        return both.map(self._join, num_parallel_calls=pipeline.cores())

    def _join(self, record: Any, batch: Any) -> Any:
        images, labels = batch
        values, known = self.layout.decode(record)
        count = tf.minimum(tf.size(known), tf.size(labels))
        same = tf.logical_and(
            tf.equal(tf.size(known), tf.size(labels)),
            tf.reduce_all(tf.equal(known[:count], labels[:count])),
        )
        with tf.control_dependencies(
            [tf.debugging.Assert(same, [_MISALIGNED])]
        ):
            values = [
                tf.ensure_shape(value, (images.shape[0], *shape))
                for value, shape in zip(values, self.layout.shapes, strict=True)
            ]
        taps = self.layout.taps
        x: dict[str, Any] = {"images": images}
        x["features"] = dict(zip(taps, values, strict=False))
        if self.layout.logits:
            x[LOGITS] = values[-1]
        return x, labels

    def _finished(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.prefetch(pipeline.PREFETCH).with_options(
            pipeline.options()
        )
