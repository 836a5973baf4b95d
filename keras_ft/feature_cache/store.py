"""Stored rows of a cache, found by image: in memory, or in a folder.

Rows lie in blocks, in the order in which they were computed. A block on disk
is a file that appears whole and never changes; the manifest beside it is
replaced after each and holds its SHA-256. So a kill loses the rows that were
not in a file yet, and damage has a name.
"""

import concurrent.futures
import contextlib
import hashlib
import os
import re
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import filelock
import numpy as np

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.feature_cache import rows as row_format
from keras_ft.feature_cache.rows import Errors
from keras_ft.feature_cache.rows import RowFormat
from keras_ft.feature_cache.rows import no_errors
from keras_ft.feature_cache.rows import worst

SPLITS = ("train", "validation", "test")
# What a kill may lose of each view.
BLOCK_BYTES = 64 * 2**20
ENDING = ".rows"
_NAME = re.compile(r"(\w+)-view(\d+)-block(\d+)\.rows")
View = tuple[str, int]  # split and number; 0 for validation and test


class Store:
    """The rows of a cache.

    Args:
        folder: Where they are or will be; None for memory.

    Attributes:
        content: The manifest: the key and the format of the rows, images and
            rows of each split's views, and of each block its view, rows,
            bytes, SHA-256 and errors.
        lock: Held by a thread that adds rows.
    """

    def __init__(self, folder: artifacts.PathLike | None) -> None:
        self.folder = None if folder is None else Path(folder)
        self.content: dict[str, Any] = {}
        self.lock = threading.RLock()
        if self.folder is not None:
            self._file_lock = filelock.FileLock(self.folder / ".lock")
        self._blocks: list[np.ndarray | str] = []
        # Of each view, the block and the place in it of every image's row.
        self._places: dict[View, np.ndarray] = {}
        # Of each view, blocks and errors that are not in a file yet.
        self._unwritten: dict[View, list[tuple[int, Errors]]] = {}

    @property
    def where(self) -> str:
        """Return what messages call it."""
        return (
            "the cache in memory" if self.folder is None else str(self.folder)
        )

    @property
    def format(self) -> RowFormat:
        """Return how rows are read."""
        return RowFormat.from_json(self.content["format"])

    @property
    def blocks(self) -> dict[str, dict[str, Any]]:
        """Return the manifest's entries of finished blocks."""
        found: dict[str, dict[str, Any]] = self.content["blocks"]
        return found

    @property
    def bytes(self) -> int:
        """Return what all finished blocks take."""
        return sum(entry["bytes"] for entry in self.blocks.copy().values())

    @property
    def errors(self) -> Errors:
        """Return the worst errors of each output."""
        errors = no_errors(len(self.content["format"]["names"]))
        for entry in self.blocks.copy().values():
            errors = worst(errors, entry["errors"])
        return errors

    def count(self, view: View) -> int:
        """Return how many rows of a view there are."""
        return int(np.count_nonzero(self._places_of(view)[:, 0] >= 0))

    def is_complete(self, view: View) -> bool:
        """Return whether all rows of a view are there."""
        return self.count(view) >= self.content["rows"][view[0]]

    def views_of(self, split: str) -> list[int]:
        """Return which views of a split have rows."""
        return [
            view[1]
            for view in sorted(self._places)
            if view[0] == split and self.count(view)
        ]

    def has_unwritten(self, view: View) -> bool:
        """Return whether rows of a view are in no file yet."""
        return bool(self._unwritten.get(view))

    def has(self, view: View, numbers: np.ndarray) -> np.ndarray:
        """Return for each image whether its row in a view is there."""
        return self._places_of(view)[numbers, 0] >= 0

    def read(self, view: View, numbers: np.ndarray) -> np.ndarray:
        """Return the rows of images in a view, all of which must be there.

        Raises:
            InputError: A file was damaged since the cache was opened.
        """
        with self.lock:
            blocks, places = self._places_of(view)[numbers].T
            if np.any(blocks < 0):
                raise InputError(
                    "data",
                    f"{view[0]} images that {self.where} has no rows of",
                    "the images it was built with",
                    "Load the data as it was for FeatureCache.build.",
                )
            rows = np.empty(len(numbers), self._row)
            # What was computed together lies together: mostly one stretch.
            jumps = (np.diff(blocks) != 0) | (np.diff(places) != 1)
            ends = [*np.flatnonzero(jumps) + 1, len(numbers)]
            for start, end in zip([0, *ends], ends, strict=False):
                block = self._blocks[blocks[start]]
                stretch = rows[start:end]
                self._read_stretch(block, places[start], stretch)
                if not row_format.are_whole(stretch, numbers[start:end]):
                    raise InputError(
                        str(self._path(block)),
                        "rows that do not add up to their check sums",
                        "rows as they were computed",
                        self._anew(),
                    )
            return rows

    def _read_stretch(self, block: Any, start: int, rows: np.ndarray) -> None:
        if isinstance(block, np.ndarray):
            rows[:] = block[start : start + len(rows)]
            return
        rows["check"] = 0  # What a file that is too short leaves as it is.
        # Not mapped into memory: a file that was cut would end the process.
        with self._explained(0), open(self._path(block), "rb", 0) as file:
            file.seek(start * rows.itemsize)
            file.readinto(rows.view(np.uint8).data)

    def add(self, view: View, rows: np.ndarray, errors: Errors) -> None:
        """Keep rows; on disk when they fill a block or complete the view.

        Raises:
            InputError: The disk is full or cannot be written. Finished
                blocks stay.
        """
        with self.lock:
            self._index(view, rows, rows["number"])
            if self.folder is None:
                self.blocks[self._next_name(view)] = _entry(rows, errors)
                return
            unwritten = self._unwritten.setdefault(view, [])
            unwritten.append((len(self._blocks) - 1, errors))
            size = sum(self._blocks[block].nbytes for block, _ in unwritten)
            if size >= BLOCK_BYTES or self.is_complete(view):
                self._write(view)

    def _write(self, view: View) -> None:
        unwritten = self._unwritten.pop(view)
        rows = np.concatenate([self._blocks[block] for block, _ in unwritten])
        errors = no_errors(len(unwritten[0][1]))
        for _, more in unwritten:
            errors = worst(errors, more)
        try:
            with self.locked(wait=True):
                self.refresh()
                name = self._write_file(view, rows, errors)
        except InputError:
            # As if they had not been computed: they can be once more.
            self._places_of(view)[rows["number"]] = -1
            raise
        self._index(view, name, rows["number"])
        for block, _ in unwritten:
            self._blocks[block] = name

    def _write_file(self, view: View, rows: np.ndarray, errors: Errors) -> str:
        name, content = self._next_name(view), rows.view(np.uint8).data
        digest = hashlib.sha256(content).hexdigest()
        with (
            self._explained(rows.nbytes),
            artifacts.atomic_path(self._path(name)) as temporary,
        ):
            temporary.write_bytes(content)
            # Before the file has its name: a kill between the two leaves a
            # block that is missing, and none that nobody knows.
            self.blocks[name] = _entry(rows, errors) | {"sha256": digest}
            self._save()
        return name

    def _index(
        self, view: View, block: np.ndarray | str, numbers: np.ndarray
    ) -> None:
        self._blocks.append(block)
        found = np.full(len(numbers), len(self._blocks) - 1)
        places = np.stack([found, np.arange(len(numbers))], axis=1)
        self._places_of(view)[numbers] = places

    def _places_of(self, view: View) -> np.ndarray:
        if view not in self._places:
            images = self.content["images"][view[0]]
            self._places[view] = np.full((images, 2), -1, np.int64)
        return self._places[view]

    def _next_name(self, view: View) -> str:
        number = 0
        while _name(view, number) in self.blocks:
            number += 1
        return _name(view, number)

    def start(self, content: dict[str, Any]) -> None:
        """Begin an empty cache.

        Raises:
            InputError: Blocks without a manifest are in the way.
        """
        self.content = {**content, "blocks": {}}
        self._row = self.format.row
        if self.folder is not None:
            self._refuse_unknown_files()
            with self._explained(0):
                self._save()

    def exists(self) -> bool:
        """Return whether a cache was begun in the folder."""
        return self._path(artifacts.MANIFEST).exists()

    def load(self) -> None:
        """Read the manifest.

        Raises:
            InputError: It is missing or damaged.
        """
        path = self._path(artifacts.MANIFEST)
        self.content = artifacts.read_json(path, sealed=True)

    def verify(self) -> None:
        """Read every bit of every block, on all processors.

        Raises:
            InputError: A block is damaged, missing or not of this cache; its
                name is in the message.
        """
        self._row = self.format.row
        self._refuse_unknown_files()
        # Hashing releases Python's lock, so that threads do help.
        with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            found = pool.map(self._verified_numbers, self.blocks)
            for name, numbers in zip(self.blocks, found, strict=True):
                self._index(_view(name), name, numbers)

    def refresh(self) -> None:
        """Take over the blocks that other processes have added."""
        before, accelerated = self.blocks, self.content["accelerated"]
        with self.locked(wait=True):
            self.load()
            self.forget_deleted()
            self.content["accelerated"] |= accelerated
        for name in self.blocks.keys() - before.keys():
            self._index(_view(name), name, self._verified_numbers(name))

    def _verified_numbers(self, name: str) -> np.ndarray:
        path, entry = self._path(name), self.blocks[name]
        if not path.is_file():
            raise InputError(
                str(path), "no such file", "the block", self._anew()
            )
        content = path.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry["sha256"]:
            raise InputError(
                str(path),
                f"SHA-256 {digest[:12]}...",
                f"{entry['sha256'][:12]}..., as the manifest says",
                self._anew(),
            )
        return np.frombuffer(content, self._row)["number"].copy()

    def _refuse_unknown_files(self) -> None:
        for path in sorted(self.folder.glob(f"[!.]*{ENDING}")):
            if path.name not in self.blocks:
                raise InputError(
                    str(path),
                    "a block that the manifest does not know",
                    "the blocks of one cache only",
                    "Move it elsewhere or delete it.",
                )

    def forget_deleted(self) -> None:
        """Leave the rows of deleted blocks to be computed again."""
        deleted = [n for n in self.blocks if not self._path(n).exists()]
        for name in deleted:
            del self.blocks[name]
        if deleted:
            with self._explained(0):
                self._save()

    def check_room(self, needed: int) -> None:
        """Refuse a disk that is too small, before anything is computed."""
        free = shutil.disk_usage(self.folder).free
        if free < needed:
            raise self._cannot_write(f"{free:,} bytes free", needed)

    @contextlib.contextmanager
    def locked(self, wait: bool = False) -> Iterator[None]:
        """Keep other writers out, and remove what a killed one left.

        Args:
            wait: For the other one's end; else it is an error.
        """
        with self._explained(0):
            self.folder.mkdir(parents=True, exist_ok=True)
            try:
                self._file_lock.acquire(timeout=-1 if wait else 0)
            except filelock.Timeout:
                raise InputError(
                    "folder",
                    self.folder,
                    "a folder in which no other process builds",
                    "Wait for the other one to end, or name another folder.",
                ) from None
        try:
            artifacts.remove_unfinished(self.folder)
            yield
        finally:
            self._file_lock.release()

    def _save(self) -> None:
        path = self._path(artifacts.MANIFEST)
        artifacts.write_json(path, self.content, sealed=True)

    def _path(self, name: str) -> Path:
        return self.folder / name

    def _anew(self) -> str:
        call = "lazy" if self.content["key"]["views"] is None else "build"
        return (
            f"Delete the file and call FeatureCache.{call} again, which "
            "computes it anew."
        )

    @contextlib.contextmanager
    def _explained(self, needed: int) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._cannot_write(error.strerror or error, needed) from error

    def _cannot_write(self, reason: Any, needed: int) -> InputError:
        return InputError(
            "folder",
            f"{self.folder} ({reason})",
            f"a folder that can be written, with {needed:,} bytes free",
            "Make room or name another folder. What is finished stays: "
            "FeatureCache.build continues there.",
        )


def _entry(rows: np.ndarray, errors: Errors) -> dict[str, Any]:
    return {"rows": len(rows), "bytes": rows.nbytes, "errors": errors}


def _name(view: View, block: int) -> str:
    return f"{view[0]}-view{view[1]:04d}-block{block:06d}{ENDING}"


def _view(name: str) -> View:
    split, number = _NAME.fullmatch(name).groups()[:2]
    return split, int(number)
