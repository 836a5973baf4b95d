"""Write a folder that appears whole or not at all."""

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path

from keras_ft import artifacts
from keras_ft import reading
from keras_ft.errors import InputError

_FIX = "Name another folder, or move what is in it."


def check_replaceable(folder: Path, mark: str) -> None:
    """Refuse a folder that holds anything but what was written there before.

    Args:
        folder: Where a whole folder is to be written.
        mark: A file by which an earlier one is known.

    Raises:
        InputError: It is a file, holds other files, or files that were changed
            since, such as a table someone has filled in.
    """
    if not os.path.lexists(folder):
        return
    if not folder.is_dir():
        raise InputError("folder", folder, "a folder", _FIX)
    present = {
        path.relative_to(folder).as_posix()
        for path in folder.rglob("*")
        if path.is_symlink() or not path.is_dir()
    }
    if not present:
        return
    recorded = artifacts.manifest(folder)
    foreign = sorted(present - {*recorded, artifacts.MANIFEST})
    if mark not in recorded or foreign:
        raise InputError(
            "folder",
            f"{folder}, which holds {(foreign or sorted(present))[0]}",
            "a new or empty folder, or one that was written by this function",
            _FIX,
        )
    reading.check_folder(folder)
    for name, digest in recorded.items():
        if name in present and artifacts.sha256(folder / name) != digest:
            raise InputError(
                "folder",
                f"{folder}, where {name} was changed by hand",
                "a folder as it was written, which may be replaced",
                _FIX,
            )


@contextlib.contextmanager
def atomic_folder(folder: Path) -> Iterator[Path]:
    """Yield a temporary folder that becomes `folder` when the block succeeds.

    What is there stays untouched until then. Call `check_replaceable` first.

    Args:
        folder: The folder to write. Its parent is made if it is missing.

    Yields:
        Where to write.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    temporary = _beside(folder, artifacts.UNFINISHED)
    # Not named as unfinished: it is all there is if a kill hits that instant.
    aside = _beside(folder, ".replaced-")
    temporary.mkdir()
    try:
        yield temporary
        files = [path for path in temporary.rglob("*") if path.is_file()]
        names = sorted(path.relative_to(temporary).as_posix() for path in files)
        artifacts.record(temporary, names)
        _put(temporary, folder, aside)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
        if folder.exists():
            shutil.rmtree(aside, ignore_errors=True)


def _put(temporary: Path, folder: Path, aside: Path) -> None:
    # A folder cannot be renamed over a full one: for an instant there is none.
    if folder.exists():
        os.replace(folder, aside)
    try:
        os.replace(temporary, folder)
    except BaseException:
        if aside.exists():
            os.replace(aside, folder)
        raise


def _beside(folder: Path, prefix: str) -> Path:
    return folder.with_name(f"{prefix}{secrets.token_hex(4)}-{folder.name}")
