"""Stored rows of a cache, found by view and image: in memory or in a folder.

Rows lie in blocks, in the order in which they were computed. A block on disk
is a file that appears whole and never changes; the manifest beside it knows
its SHA-256 and is replaced with each. So a kill loses the rows that were not
in a file yet, and damage has a name.
"""

import concurrent.futures
import contextlib
import hashlib
import math
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
from keras_ft import reading
from keras_ft.errors import InputError
from keras_ft.feature_cache.rows import DTYPES
from keras_ft.feature_cache.rows import Errors
from keras_ft.feature_cache.rows import RowFormat
from keras_ft.feature_cache.rows import are_whole
from keras_ft.feature_cache.rows import no_errors
from keras_ft.feature_cache.rows import worst

# 1 had its rows in the order of batches.
FORMAT = 2
SPLITS = ("train", "validation", "test")
# What a kill may lose of each view.
BLOCK_BYTES = 64 * 2**20
ENDING, _LOCK = ".rows", ".lock"
# A block is not larger than that and a batch.
_MOST_BYTES = 2**31
_NAME = re.compile(
    rf"({'|'.join(SPLITS)})-view\d{{4,9}}-block\d{{6,9}}\{ENDING}"
)
_BYTES = reading.Kind(
    f"at most {_MOST_BYTES:,} bytes",
    lambda x: type(x) is int and 0 < x <= _MOST_BYTES,
)
_OF_ANY_VERSION = {"key": {"format version": reading.COUNT, str: Any}, str: Any}
_SIZES = dict.fromkeys(SPLITS, reading.COUNT)
_SHAPE = {
    "key": {
        "format version": reading.COUNT,
        "dtype": reading.Kind("a dtype", lambda x: x in DTYPES),
        "views": (reading.COUNT, None),
        "logits": bool,
        "taps": [reading.COUNT],
        "batch size": reading.COUNT,
        "steps per epoch": (reading.COUNT, None),
        "rows": [reading.COUNT],
        "image size": [reading.COUNT],
        "normalization": [[float]],
        str: str,
    },
    "format": {
        "names": [str],
        "shapes": [[reading.COUNT]],
        "logits": bool,
        "dtype": reading.Kind("a dtype", lambda x: x in DTYPES),
    },
    "images": _SIZES,
    "rows": _SIZES,
    "accelerated": bool,
    "teacher": {
        "name": str,
        "input shape": [(reading.COUNT, None)],
        "output shapes": [[(reading.COUNT, None)]],
    },
    "blocks": {
        str: {
            "rows": reading.COUNT,
            "bytes": _BYTES,
            "errors": [[reading.NUMBER]],
            "sha256": str,
        }
    },
}
View = tuple[str, int]  # split and number; 0 for validation and test


class Store:
    """The rows of a cache in memory.

    Attributes:
        content: What the manifest says on disk: the key, the format of rows,
            images and rows of each split's views, and of each block its rows,
            bytes and errors.
        where: What messages call the store.
        lock: Held by a thread that reads or adds rows.
    """

    where = "the cache in memory"

    def __init__(self) -> None:
        self.content: dict[str, Any] = {}
        self.lock = threading.RLock()
        self._blocks: list[Any] = []
        # Of each view, the block and the place in it of every image's row.
        self._places: dict[View, np.ndarray] = {}

    @property
    def format(self) -> RowFormat:
        """Return how rows are read."""
        return RowFormat.from_json(self.content["format"])

    @property
    def views(self) -> int | None:
        """Return how many views there are to be; None for no limit."""
        found: int | None = self.content["key"]["views"]
        return found

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

    def start(self, content: dict[str, Any]) -> None:
        """Begin an empty cache."""
        self.content = {**content, "blocks": {}}
        self._row = self.format.row

    def count(self, view: View) -> int:
        """Return how many rows of a view there are."""
        return int(np.count_nonzero(self._places_of(view)[:, 0] >= 0))

    def is_complete(self, view: View) -> bool:
        """Return whether all rows of a view are there."""
        return self.count(view) >= int(self.content["rows"][view[0]])

    def views_of(self, split: str) -> list[int]:
        """Return which views of a split have rows."""
        views = sorted(view for view in self._places if view[0] == split)
        return [view[1] for view in views if self.count(view)]

    def has(self, view: View, numbers: np.ndarray) -> np.ndarray:
        """Return for each image whether its row in a view is there."""
        found: np.ndarray = self._places_of(view)[numbers, 0] >= 0
        return found

    def read(self, view: View, numbers: np.ndarray) -> np.ndarray:
        """Return the rows of images in a view.

        Raises:
            InputError: There is no row of an image, or its file was damaged
                since the cache was opened.
        """
        with self.lock:
            blocks, places = self._places_of(view)[numbers].T
            if np.any(blocks < 0):
                raise InputError(
                    f"{self.where} has no rows of some images in {view[0]}. "
                    "Load the data as it was for FeatureCache.build."
                )
            rows = np.empty(len(numbers), self._row)
            # What was computed together lies together: mostly one stretch.
            jumps = (np.diff(blocks) != 0) | (np.diff(places) != 1)
            ends = [*np.flatnonzero(jumps) + 1, len(numbers)]
            for start, end in zip([0, *ends], ends, strict=False):
                block, stretch = self._blocks[blocks[start]], rows[start:end]
                self._read(block, int(places[start]), stretch)
                if not are_whole(stretch, numbers[start:end]):
                    raise self._damaged(block, "has rows with wrong check sums")
            return rows

    def _read(self, block: Any, start: int, rows: np.ndarray) -> None:
        rows[:] = block[start : start + len(rows)]

    def _damaged(self, block: Any, what: str) -> InputError:
        return InputError(f"{self.where} {what}.")

    def add(self, view: View, rows: np.ndarray, errors: Errors) -> None:
        """Keep rows and what storing them costs."""
        with self.lock:
            self._index(view, rows, rows["number"])
            self.blocks[self._next_name(view)] = _entry(rows, errors)

    def _index(self, view: View, block: Any, numbers: np.ndarray) -> None:
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
        while (name := _name(view, number)) in self.blocks:
            number += 1
        return name


class FolderStore(Store):
    """The rows of a cache in a folder, which several processes may share.

    Args:
        folder: Where they are or will be.
    """

    def __init__(self, folder: artifacts.PathLike) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.where = str(self.folder)
        self._manifest = self.folder / artifacts.MANIFEST
        self._file_lock = filelock.FileLock(self.folder / _LOCK)
        # Of each view, blocks and errors that are not in a file yet.
        self._unwritten: dict[View, list[tuple[int, Errors]]] = {}

    @property
    def maker(self) -> str:
        """Return the call that makes what is missing."""
        return f"FeatureCache.{'lazy' if self.views is None else 'build'}"

    def exists(self) -> bool:
        """Return whether a cache was begun here."""
        return self._manifest.exists()

    def start(self, content: dict[str, Any]) -> None:
        """Begin an empty cache.

        Raises:
            InputError: Blocks without a manifest are in the way.
        """
        super().start(content)
        self._refuse_unknown_files()
        self._save()

    def load(self) -> None:
        """Read the manifest.

        Raises:
            InputError: It is missing or damaged, or something in the folder
                leads out of it.
        """
        reading.check_folder(self.folder)
        content = artifacts.read_json(self._manifest, sealed=True)
        reading.check(content, _OF_ANY_VERSION, self._manifest)
        if content["key"]["format version"] == FORMAT:
            reading.check(content, _SHAPE, self._manifest)
            _check_format(content, self._manifest)
        self.content = content

    def check_sizes(self, data: Any) -> None:
        """Refuse other numbers of images and rows than the data's.

        Raises:
            InputError: Names the key.
        """
        for key, wanted in (
            ("images", {split: data.number_bound(split) for split in SPLITS}),
            ("rows", {split: data.rows(split) for split in SPLITS}),
        ):
            if self.content[key] != wanted:
                raise InputError(
                    f"{key} in {self._manifest}",
                    self.content[key],
                    f"{wanted}, as in the data",
                    "Delete the folder and build the cache again.",
                )

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

    def _verified_numbers(self, name: str) -> np.ndarray:
        path, entry = self.folder / name, self.blocks[name]
        try:
            content = reading.read_bytes(path, self.folder, entry["bytes"])
        except FileNotFoundError:
            raise self._damaged(name, "does not exist") from None
        except OSError as error:
            raise self._damaged(name, f"cannot be read ({error})") from error
        digest = hashlib.sha256(content).hexdigest()
        if digest != entry["sha256"]:
            raise self._damaged(name, "is not as the manifest's SHA-256 says")
        if len(content) != entry["rows"] * self._row.itemsize:
            raise self._damaged(name, "has not as many rows as the manifest")
        numbers = np.frombuffer(content, self._row)["number"].copy()
        images = self.content["images"][_view(name)[0]]
        if np.any((numbers < 0) | (numbers >= images)):
            raise self._damaged(name, f"has rows beyond {images:,} images")
        return numbers

    def _refuse_unknown_files(self) -> None:
        for path in sorted(self.folder.glob(f"[!.]*{ENDING}")):
            if path.name not in self.blocks:
                raise InputError(
                    f"{path} is a block that the manifest does not know. "
                    "Move it elsewhere or delete it."
                )

    def forget_deleted(self) -> None:
        """Leave the rows of deleted blocks to be computed again."""
        deleted = [n for n in self.blocks if not (self.folder / n).exists()]
        for name in deleted:
            del self.blocks[name]
        if deleted:
            self._save()

    def refresh(self) -> None:
        """Take over the blocks that other processes have added."""
        before, accelerated = self.blocks, self.content["accelerated"]
        with self.locked(wait=True):
            self.load()
            self.forget_deleted()
            self.content["accelerated"] |= accelerated
        for name in self.blocks.keys() - before.keys():
            self._index(_view(name), name, self._verified_numbers(name))

    def _read(self, block: Any, start: int, rows: np.ndarray) -> None:
        if not isinstance(block, str):
            super()._read(block, start, rows)
            return
        rows["check"] = 0  # What a file that is too short leaves as it is.
        # Not mapped into memory: a file that was cut would end the process.
        try:
            with open(self.folder / block, "rb", buffering=0) as file:
                file.seek(start * rows.itemsize)
                file.readinto(rows.view(np.uint8).data)
        except OSError as error:
            raise self._damaged(block, f"cannot be read ({error})") from error

    def _damaged(self, block: Any, what: str) -> InputError:
        return InputError(
            f"{self.folder / block} {what}. Delete the file and call "
            f"{self.maker} again, which computes it anew."
        )

    def has_unwritten(self, view: View) -> bool:
        """Return whether rows of a view are in no file yet."""
        return bool(self._unwritten.get(view))

    def add(self, view: View, rows: np.ndarray, errors: Errors) -> None:
        """Keep rows; write them when they fill a block or complete the view.

        Raises:
            InputError: The disk is full or cannot be written. Finished
                blocks stay.
        """
        with self.lock:
            self._index(view, rows, rows["number"])
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
        content = rows.view(np.uint8).data
        digest = hashlib.sha256(content).hexdigest()
        try:
            with self.locked(wait=True), self._writing(rows.nbytes):
                self.refresh()
                name = self._next_name(view)
                with artifacts.atomic_path(self.folder / name) as temporary:
                    temporary.write_bytes(content)
                    # Before the file has its name: a kill between the two
                    # leaves a block that is missing, and none unknown.
                    self.blocks[name] = _entry(rows, errors, sha256=digest)
                    self._save()
        except InputError:
            # As if they had not been computed: they can be once more.
            self._places_of(view)[rows["number"]] = -1
            raise
        self._index(view, name, rows["number"])
        for block, _ in unwritten:
            self._blocks[block] = name

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
        with self._writing():
            self.folder.mkdir(parents=True, exist_ok=True)
            reading.check_folder(self.folder)
            reading.check_lock(self.folder / _LOCK)
            try:
                self._file_lock.acquire(timeout=-1 if wait else 0)
            except filelock.Timeout:
                raise InputError(
                    f"Another process builds a cache in {self.folder}. Wait "
                    "for its end, or name another folder."
                ) from None
        try:
            artifacts.remove_unfinished(self.folder)
            yield
        finally:
            self._file_lock.release()

    def _save(self) -> None:
        with self._writing():
            artifacts.write_json(self._manifest, self.content, sealed=True)

    @contextlib.contextmanager
    def _writing(self, needed: int = 0) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            reason = error.strerror or str(error)
            raise self._cannot_write(reason, needed) from error

    def _cannot_write(self, reason: str, needed: int) -> InputError:
        room = f", and {needed:,} bytes are needed" if needed else ""
        return InputError(
            f"The folder {self.folder} cannot be written: {reason}{room}. Make "
            "room or name another folder. What is finished stays: "
            "FeatureCache.build continues there."
        )


def _entry(rows: np.ndarray, errors: Errors, **more: str) -> dict[str, Any]:
    return {"rows": len(rows), "bytes": rows.nbytes, "errors": errors, **more}


def _check_format(content: dict[str, Any], path: Path) -> None:
    """Refuse a format that does not fit itself, and names of no blocks.

    Raises:
        InputError: Names the key.
    """
    form = content["format"]
    names, shapes = len(form["names"]), form["shapes"]
    numbers = sum(math.prod(shape) for shape in shapes)
    if names != len(shapes) or not 0 < numbers < _MOST_BYTES:
        raise InputError(
            f"format in {path}",
            f"{names} names and {shapes!r:.60}",
            "a shape for each name",
            "Delete the folder and build the cache again.",
        )
    for name in content["blocks"]:
        if _NAME.fullmatch(name) is None:
            raise InputError(
                f"blocks in {path}",
                f"{name!r:.60}",
                "names of blocks",
                "Delete the folder and build the cache again.",
            )


def _name(view: View, block: int) -> str:
    return f"{view[0]}-view{view[1]:04d}-block{block:06d}{ENDING}"


def _view(name: str) -> View:
    split, number, _ = name.split("-")
    return split, int(number.removeprefix("view"))
