"""Shards that live as long as the process."""

from typing import Any

import tensorflow as tf

from keras_ft.feature_cache.shard import Shard

Entry = dict[str, Any]


class ShardMemory:
    """Records of a cache in memory, in the form they have on disk.

    Attributes:
        content: What the manifest says on disk.
        views: How many views there are to be.
        entries: Finished shards by name.
    """

    where = "the cache in memory"

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.views: int | None = None
        self.entries: dict[str, Entry] = {}
        self._held: dict[Shard, Any] = {}

    def start(self, content: dict[str, Any]) -> None:
        """Begins a cache."""
        self.content = content
        self.views = content["key"]["views"]

    def finished(self) -> list[Shard]:
        """The finished shards."""
        return list(self._held)

    def write(
        self, shard: Shard, records: list[bytes], errors: list[list[float]]
    ) -> None:
        """Adds a shard; they come in the order of the plan."""
        with tf.device("CPU:0"):
            self._held[shard] = tf.constant(records)
        self.entries[shard.name] = {
            "rows": shard.rows,
            "bytes": sum(map(len, records)),
            "errors": errors,
        }

    def records(self, split: str, view: Any) -> tf.data.Dataset:
        """The records of a view in order; `view` may be a tensor."""
        views: dict[int, list[Any]] = {}
        for shard, held in self._held.items():
            if shard.split == split:
                views.setdefault(shard.view, []).append(held)
        # One view is copied, for an epoch, and not all of them for good.
        joined = tf.switch_case(
            tf.cast(view, tf.int32),
            [lambda parts=views[v]: tf.concat(parts, 0) for v in sorted(views)],
        )
        return tf.data.Dataset.from_tensor_slices(joined)

    def records_of(self, shard: Shard) -> tf.data.Dataset:
        """The records of one shard."""
        return tf.data.Dataset.from_tensor_slices(self._held[shard])
