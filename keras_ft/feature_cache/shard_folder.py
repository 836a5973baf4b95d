"""Shards on disk: checked, never half-written, continued after a kill."""

import contextlib
import os
import shutil
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import tensorflow as tf

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.feature_cache import shard as shards
from keras_ft.feature_cache import verification
from keras_ft.feature_cache.shard import PATTERN
from keras_ft.feature_cache.shard import Shard

Entry = dict[str, Any]


class ShardFolder:
    """A folder of shards and the manifest that knows them.

    The manifest holds the key, the shards of one view as a template, and for
    every finished shard its row count and SHA-256. It is replaced after each
    shard, so a kill loses the unfinished shard only.

    Args:
        folder: Where they are, or will be.

    Attributes:
        content: The manifest.
        views: How many views there are to be; `None` for no limit.
    """

    def __init__(self, folder: artifacts.PathLike) -> None:
        self.folder = Path(folder)
        self.where = str(self.folder)
        self.content: dict[str, Any] = {}
        self.views: int | None = None

    @property
    def entries(self) -> dict[str, Entry]:
        """Finished shards by name."""
        found: dict[str, Entry] = self.content["shards"]
        return found

    @property
    def maker(self) -> str:
        """The call that makes what is missing."""
        return "build" if self.content["key"]["views"] else "lazy"

    @property
    def template(self) -> list[Shard]:
        """All shards of the first view, of validation and of test."""
        return [Shard(**fields) for fields in self.content["template"]]

    @property
    def plan(self) -> list[Shard]:
        """All shards; where views have no limit, those of the first."""
        return shards.plan(self.template, self.views or 1)

    def of_view(self, split: str, view: int) -> list[Shard]:
        """The shards of a view in order, finished or not."""
        return shards.of_view(self.template, split, view)

    def is_complete(self, split: str, view: int) -> bool:
        """Whether all shards of a view are finished."""
        return all(s.name in self.entries for s in self.of_view(split, view))

    def finished(self) -> list[Shard]:
        """The finished shards."""
        known = self.known(self.entries)
        return [known[name] for name in self.entries if name in known]

    def exists(self) -> bool:
        """Whether a cache was begun here."""
        return (self.folder / artifacts.MANIFEST).exists()

    def read(self) -> None:
        """Reads the manifest.

        Raises:
            InputError: It is missing or damaged.
        """
        self.content = artifacts.read_json(
            self.folder / artifacts.MANIFEST, sealed=True
        )
        self.views = self.content["key"]["views"]

    def start(self, content: dict[str, Any]) -> None:
        """Begins a cache.

        Raises:
            InputError: Shards without a manifest are in the way.
        """
        self.content = {**content, "shards": {}}
        self.views = content["key"]["views"]
        verification.refuse_foreign(self.folder, {})
        with self._explained(0):
            self._save()

    @contextlib.contextmanager
    def locked(self, wait: bool = False) -> Iterator[None]:
        """Keeps other writers out and removes what a killed one left.

        Args:
            wait: For the other one's end; else it is an error.
        """
        # Imported here: fcntl is POSIX only, and `import keras_ft` is not.
        import fcntl

        with self._explained(0):
            self.folder.mkdir(parents=True, exist_ok=True)
            handle = os.open(self.folder, os.O_RDONLY)
        try:
            try:
                flags = fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB)
                fcntl.flock(handle, flags)
            except OSError:
                raise InputError(
                    "folder",
                    self.folder,
                    "a folder in which no other process builds",
                    "Wait for the other one to end, or name another folder.",
                ) from None
            artifacts.remove_unfinished(self.folder)
            yield
        finally:
            os.close(handle)

    def check_room(self, needed: int) -> None:
        """Refuses a disk that is too small, before anything is computed."""
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise self._full(f"{free:,} bytes free", needed)

    def write(
        self, shard: Shard, records: list[bytes], errors: list[list[float]]
    ) -> None:
        """Writes a shard, whole or not at all, and notes it.

        Raises:
            InputError: The disk is full or cannot be written. Finished
                shards stay.
        """
        size = sum(map(len, records))
        with self._explained(size):
            path = self.folder / shard.name
            with artifacts.atomic_path(path) as temporary:
                with tf.io.TFRecordWriter(str(temporary)) as writer:
                    for record in records:
                        writer.write(record)
                digest = artifacts.sha256(temporary)
            self.entries[shard.name] = {
                "rows": shard.rows,
                "bytes": size,
                "sha256": digest,
                "errors": errors,
            }
            self._save()

    def add(
        self, shard: Shard, records: list[bytes], errors: list[list[float]]
    ) -> None:
        """`write` beside other writers: theirs are kept.

        Raises:
            InputError: As `write`.
        """
        # A lock of its own for each call, so that threads wait as well.
        with self.locked(wait=True):
            accelerated = self.content["accelerated"]
            self.read()
            self.content["accelerated"] |= accelerated
            self.write(shard, records, errors)

    def records(self, split: str, view: Any) -> tf.data.Dataset:
        """The records of a view in order; `view` may be a tensor."""
        views = (self.views or 1) if split == "train" else 1
        names = [
            [str(self.folder / s.name) for s in self.of_view(split, number)]
            for number in range(views)
        ]
        return tf.data.TFRecordDataset(tf.gather(tf.constant(names), view))

    def records_of(self, shard: Shard) -> tf.data.Dataset:
        """The records of one shard."""
        return tf.data.TFRecordDataset(str(self.folder / shard.name))

    def forget_missing(self) -> None:
        """Leaves deleted shards to be computed again."""
        for name in list(self.entries):
            if not (self.folder / name).exists():
                del self.entries[name]

    def verify(self) -> None:
        """Checks every finished shard, bit by bit.

        Raises:
            InputError: See `verification.verify`.
        """
        present = [path.name for path in self.folder.glob(PATTERN)]
        known = self.known([*present, *self.entries])
        verification.verify(self.folder, self.entries, known, self.maker)

    def known(self, names: Iterable[str]) -> dict[str, Shard]:
        """By name, those that this cache may have, of the views named."""
        views = {shards.view_of(name) for name in names}
        splits = [("train", view) for view in views if self._has_view(view)]
        return {
            shard.name: shard
            for split, view in [*splits, ("validation", 0), ("test", 0)]
            for shard in self.of_view(split, view)
        }

    def _has_view(self, view: int) -> bool:
        return self.views is None or view < self.views

    def _save(self) -> None:
        path = self.folder / artifacts.MANIFEST
        artifacts.write_json(path, self.content, sealed=True)

    @contextlib.contextmanager
    def _explained(self, needed: int) -> Iterator[None]:
        try:
            yield
        except (OSError, tf.errors.OpError) as error:
            reason = getattr(error, "strerror", None) or error
            raise self._full(reason, needed) from error

    def _full(self, reason: Any, needed: int) -> InputError:
        return InputError(
            "folder",
            f"{self.folder} ({reason})",
            f"a folder that can be written, with {needed:,} bytes free",
            "Make room or name another folder. What is finished stays: "
            "FeatureCache.build continues there.",
        )
