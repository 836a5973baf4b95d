"""Tell what the name of a data set means, importing nothing large."""

import difflib
import os
import re
from pathlib import Path

from keras_ft.errors import InputError

# The first part of a TFDS name: perhaps a namespace, the name, perhaps a
# version.
_TFDS = re.compile(r"(?:[\w-]+:)?\w+(?::[\w.*]+)?")
# How alike the name of a folder must be to be proposed, 0 to 1.
_ALIKE = 0.6


def check_name(name: str | os.PathLike[str]) -> None:
    """Refuse what is meant as a folder and is none.

    A TFDS name may hold a separator too, as "imagenet_resized/32x32" does:
    it is taken for a path where it is no such name or where its parent, or
    what it is a misspelling of, exists.

    Args:
        name: As `data.load` takes it.

    Raises:
        InputError: It is a file or a mistyped path.
    """
    if not os.fspath(name):  # As a path it would be this very folder.
        raise InputError(
            "The name of the data set is empty. Name fashion_mini, a folder "
            "of images, or a set of TensorFlow Datasets."
        )
    path = folder_of(name)
    if name == "fashion_mini" or path.is_dir():
        return
    if path.is_file():
        raise InputError(
            f"{name} is a file, and not a folder of images. Unpack it if it "
            "is an archive, and name the folder."
        )
    near = near_folder(path)
    if _is_path(name, path) or (len(path.parts) > 1 and near is not None):
        fix = "Check the path." if near is None else f"Did you mean {near}?"
        raise InputError(f"There is no folder {name}. {fix}")


def folder_of(name: str | os.PathLike[str]) -> Path:
    """Return a name as a path, whether there is such a folder or not."""
    try:
        return Path(name).expanduser()
    except RuntimeError:  # A user who is not there: ~nobody
        return Path(name)


def near_folder(path: Path) -> Path | None:
    """Return the folder that a path may be a misspelling of, if any.

    One part of the path may be wrong; the rest must be there.
    """
    there = path
    while not there.is_dir():
        if there == there.parent:
            return None
        there = there.parent
    wrong, *rest = path.relative_to(there).parts
    try:
        folders = [e.name for e in os.scandir(there) if e.is_dir()]
    except OSError:
        return None
    for found in difflib.get_close_matches(wrong, folders, cutoff=_ALIKE):
        meant = there.joinpath(found, *rest)
        if meant.is_dir():
            return meant
    return None


def _is_path(name: str | os.PathLike[str], path: Path) -> bool:
    if not isinstance(name, str):
        return True
    first, slash, rest = name.partition("/")
    return (
        path.is_absolute()
        or name.startswith((".", "~"))
        or _TFDS.fullmatch(first) is None
        or "\\" in name
        or (bool(slash) and (not rest or path.parent.is_dir()))
    )
