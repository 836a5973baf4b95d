"""Shards: the files of a cache, each some batches of one view."""

import dataclasses
import re
from collections.abc import Mapping
from typing import Any

from keras_ft.feature_cache.layout import Layout

ENDING = ".tfrecord"
# Not what is being written: its name begins with a dot.
PATTERN = f"[!.]*{ENDING}"
# Work that an interruption loses; read and checked as a whole.
SHARD_BYTES = 64 * 2**20
SPLITS = ("train", "validation", "test")


@dataclasses.dataclass(frozen=True)
class Shard:
    """Consecutive batches of one view.

    Args:
        split: "train", "validation" or "test".
        view: Which epoch of the pipeline; 0 where there is one only.
        first: Its first batch.
        batches: How many batches.
        rows: How many images in all of them.
    """

    split: str
    view: int
    first: int
    batches: int
    rows: int

    @property
    def name(self) -> str:
        """Its file."""
        view = f"-view{self.view:04d}" if self.split == "train" else ""
        return f"{self.split}{view}-batch{self.first:06d}{ENDING}"

    def bytes(self, layout: Layout) -> int:
        """Payload; TFRecord adds 16 bytes per batch."""
        return self.rows * layout.row_bytes + self.batches * layout.batch_bytes


def template(
    layout: Layout, sizes: Mapping[str, Mapping[str, Any]]
) -> list[Shard]:
    """Shards of the first view, of validation and of test, in order."""
    shards = []
    for split in SPLITS:
        size = sizes[split]
        batch = size["batch_size"]
        step = max(1, SHARD_BYTES // (batch * layout.row_bytes))
        for first in range(0, size["batches"], step):
            count = min(step, size["batches"] - first)
            rows = min(count * batch, size["rows"] - first * batch)
            shards.append(Shard(split, 0, first, count, rows))
    return shards


def of_view(first: list[Shard], split: str, view: int) -> list[Shard]:
    """Shards of a split, for training those of a view, from a template."""
    return [
        dataclasses.replace(shard, view=view)
        for shard in first
        if shard.split == split
    ]


def plan(first: list[Shard], views: int) -> list[Shard]:
    """All shards of a cache, in the order they are built."""
    shards = []
    for split in SPLITS:
        for view in range(views if split == "train" else 1):
            shards += of_view(first, split, view)
    return shards


def view_of(name: str) -> int:
    """The view in a shard's name; 0 where there is none."""
    found = re.match(r"train-view(\d+)-", name)
    return int(found[1]) if found else 0
