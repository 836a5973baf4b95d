"""Read the files of a folder that may come from somebody else.

A run folder is handed on, and its links, names and numbers with it. So a file
is opened here and nowhere else: a plain file within its folder, of bounded
size, and JSON and CSV against the shape that their reader counts on.
"""

import csv
import io
import json
import math
import os
import stat
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from pathlib import Path
from pathlib import PurePosixPath
from pathlib import PureWindowsPath
from typing import Any
from typing import NamedTuple

from keras_ft.errors import InputError

PathLike = str | os.PathLike[str]

# The variable that raises the limits of `archives`; `--file_limits` sets it.
FACTOR = "KERAS_FT_FILE_LIMITS"
# Of a text: the confusion matrices of five networks for 1,000 classes are 70.
MOST_BYTES = 256 * 2**20
# Of JSON: what is nested deeper makes every later reader recurse.
_MOST_LEVELS = 200
_LARGEST = 2**63
_SHOWN = 60


class Kind(NamedTuple):
    """A kind of value that a shape may ask for.

    Attributes:
        words: What it is, after "expected".
        holds: Says whether a value is one.
    """

    words: str
    holds: Callable[[Any], bool]


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _is_inside(value: Any) -> bool:
    """Return whether a path stays in its folder, on every system."""
    if not isinstance(value, str) or not value or not value.isprintable():
        return False
    windows = PureWindowsPath(value)
    outside = PurePosixPath(value).is_absolute() or windows.anchor
    # No system knows longer names.
    fits = all(len(part.encode()) <= 255 for part in windows.parts)
    return not outside and fits and ".." not in windows.parts


NUMBER = Kind("a number", _is_number)
# Numbers up to there are whole in every reader of JSON.
COUNT = Kind("a count", lambda x: type(x) is int and 0 <= x < 2**53)
NAME = Kind("a path inside the folder", _is_inside)
_KINDS = {
    int: Kind(
        "a whole number of 64 bits",
        lambda x: (
            isinstance(x, int) and not isinstance(x, bool) and abs(x) < _LARGEST
        ),
    ),
    float: Kind(
        "a finite number",
        # An integer may be too large for a float.
        lambda x: _is_number(x) and abs(x) < 1e300 and math.isfinite(x),
    ),
    str: Kind("a text", lambda x: isinstance(x, str)),
    bool: Kind("true or false", lambda x: isinstance(x, bool)),
    None: Kind("null", lambda x: x is None),
    dict: Kind("an object", lambda x: isinstance(x, dict)),
    list: Kind("a list", lambda x: isinstance(x, list)),
}


def check_folder(folder: PathLike) -> None:
    """Refuse a folder with links that leave it, or with pipes and devices.

    Call it before anything in the folder is read, written or removed. Folders
    whose names begin with a dot are not looked into, as nothing of theirs is
    used.

    Args:
        folder: It may be missing, or be a link itself.

    Raises:
        InputError: Names the link or the special file.
    """
    root = os.path.realpath(folder)
    waiting = [root]
    while waiting:
        for entry in _entries(waiting.pop()):
            if entry.is_symlink():
                _check_inside(Path(entry.path), root)
            elif entry.is_dir(follow_symlinks=False):
                if not entry.name.startswith("."):
                    waiting.append(entry.path)
            elif not entry.is_file(follow_symlinks=False):
                raise _special(Path(entry.path))


def _entries(folder: str) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise InputError(
            f"{folder} cannot be read: {error.strerror}. Change its rights, or "
            "name another folder."
        ) from error


def check_file(path: PathLike, folder: PathLike | None = None) -> Path:
    """Return the path of a plain file, once it is known to be one.

    Args:
        path: The file.
        folder: What it must not leave; `None` where the user named the file.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is a folder, a pipe or a device, or it is reached by a
            link or a name that leaves the folder.
    """
    path = Path(path)
    if folder is not None:
        _check_inside(path, os.path.realpath(folder))
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise _special(path)
    return path


def open_file(
    path: PathLike, folder: PathLike | None = None
) -> io.BufferedReader:
    """Open a plain file for reading; see `check_file`."""
    return check_file(path, folder).open("rb")


def check_lock(path: PathLike) -> None:
    """Refuse a lock file that taking the lock would empty.

    Args:
        path: Where the lock is or will be.

    Raises:
        InputError: Something is there, and it is no empty file.
    """
    path = Path(path)
    if not os.path.lexists(path):
        return
    try:
        size = os.stat(check_file(path, path.parent)).st_size
    except FileNotFoundError:  # The link's target is missing, or it is gone.
        size = int(path.is_symlink())
    if size:
        raise InputError(
            f"{path} is no lock of keras_ft, whose locks are empty files. Move "
            "it elsewhere, or name another folder."
        )


def read_bytes(
    path: PathLike, folder: PathLike | None = None, most: int = MOST_BYTES
) -> bytes:
    """Return what is in a plain file.

    Args:
        path: The file.
        folder: See `check_file`.
        most: Bytes at most.

    Raises:
        FileNotFoundError: There is none.
        InputError: It is larger, or see `check_file`.
    """
    with open_file(path, folder) as file:
        content = file.read(most + 1)
    if len(content) > most:
        raise InputError(
            str(path),
            f"more than {most:,} bytes",
            "a file as keras_ft writes it",
            "Restore it from a copy, or delete it and run again.",
        )
    return content


def read_text(path: PathLike, folder: PathLike | None = None) -> str:
    """Return a plain file's text.

    Raises:
        InputError: It is missing, no UTF-8 or too large, or see `check_file`.
    """
    try:
        return read_bytes(path, folder).decode("utf-8")
    except FileNotFoundError:
        raise refused(path, "no such file", "It was moved.") from None
    except (UnicodeDecodeError, OSError) as error:
        raise refused(path, error) from error


def read_json(
    path: PathLike, shape: Any = Any, folder: PathLike | None = None
) -> Any:
    """Return what a JSON file holds.

    Args:
        path: The file.
        shape: What must be in it, see `check`.
        folder: See `check_file`.

    Raises:
        InputError: The file is missing, damaged or of another shape; its name
            and the key are in the message.
    """
    content = parse_json(read_text(path, folder), path)
    check(content, shape, path)
    return content


def parse_json(text: str | bytes, path: PathLike) -> Any:
    """Return what a JSON text holds.

    Args:
        text: The text.
        path: The file it is of, for the message.

    Raises:
        InputError: It is no JSON, or nested too deep.
    """
    try:
        content = json.loads(text)
    except ValueError as error:
        raise refused(path, error) from error
    except RecursionError:
        raise _too_deep(path) from None
    level = [content]
    for _ in range(_MOST_LEVELS):
        level = [inner for outer in level for inner in _containers(outer)]
        if not level:
            return content
    raise _too_deep(path)


def _containers(value: Any) -> Iterator[Any]:
    values = value.values() if isinstance(value, dict) else value
    if isinstance(value, (dict, list)):
        yield from (x for x in values if isinstance(x, (dict, list)))


def _too_deep(path: PathLike) -> InputError:
    return refused(path, f"brackets nested more than {_MOST_LEVELS} deep")


def read_numbers(
    path: PathLike, folder: PathLike | None = None
) -> list[dict[str, float]]:
    """Return the rows of a CSV file of numbers; what is empty is left out.

    Args:
        path: The file; its first line has the columns' names.
        folder: See `check_file`.

    Raises:
        InputError: The file is damaged; its name, the line and the column are
            in the message.
    """
    lines = csv.DictReader(io.StringIO(read_text(path, folder), newline=""))
    rows = []
    try:
        for row in lines:
            where = f"{path}, line {lines.line_num}"
            if None in row:
                raise refused(where, "more values than columns")
            known = {name: value for name, value in row.items() if value}
            rows.append(
                {
                    name: _as_number(value, where, name)
                    for name, value in known.items()
                }
            )
    except csv.Error as error:
        raise refused(path, error) from error
    return rows


def _as_number(value: str, where: str, name: str) -> float:
    try:
        return float(value)
    except ValueError:
        raise refused(f"{name} in {where}", _shown(value)) from None


def check(content: Any, shape: Any, path: PathLike) -> None:
    """Refuse JSON values of another shape than their reader counts on.

    Args:
        content: The values.
        shape: `int`, `float` (finite), `str`, `bool`, `dict`, `list`, `None`,
            `Any` or a `Kind`; a tuple of shapes, one of which must fit; a list
            with the shape of all entries; or a dictionary with the shape of
            each key, where a name that ends in "?" may be missing and `str` as
            a key stands for all others.
        path: The file they are of, for the message.

    Raises:
        InputError: Names the file, the key, and what is expected.

    Example:

    >>> check({"files": ["../x"]}, {"files": [NAME]}, "run.json")
    Traceback (most recent call last):
    keras_ft.InputError: Invalid `files[0] in run.json`. Received: '../x'. ...
    """
    for key, received, expected in _faults(content, shape, ""):
        raise InputError(
            f"{key or 'content'} in {path}",
            received,
            expected,
            "It was damaged or edited: restore the file from a copy, or delete "
            "it and run again.",
        )


def _faults(value: Any, shape: Any, key: str) -> Iterator[tuple[str, str, str]]:
    """Yield where values are of another shape: key, received, expected."""
    if shape is Any:
        return
    if isinstance(shape, tuple) and not isinstance(shape, Kind):
        found = [list(_faults(value, one, key)) for one in shape]
        if all(found):
            # What is nearest is likely what was meant.
            yield min(found, key=len)[0]
    elif isinstance(shape, list):
        yield from _faults(value, list, key)
        if isinstance(value, list):
            for place, one in enumerate(value):
                yield from _faults(one, shape[0], f"{key}[{place}]")
    elif isinstance(shape, Mapping):
        yield from _faults(value, dict, key)
        if isinstance(value, dict):
            yield from _faults_of_keys(value, shape, key)
    else:
        kind = _KINDS.get(shape, shape)
        if not kind.holds(value):
            yield key, _shown(value), kind.words


def _faults_of_keys(
    value: dict[str, Any], shape: Mapping[Any, Any], key: str
) -> Iterator[tuple[str, str, str]]:
    front = f"{key}." if key else ""
    named = {name: one for name, one in shape.items() if name is not str}
    for name, one in named.items():
        plain = name.removesuffix("?")
        if plain in value:
            yield from _faults(value[plain], one, front + plain)
        elif plain == name:
            yield front + plain, "no such key", "one"
    if str in shape:
        known = {name.removesuffix("?") for name in named}
        for name in value.keys() - known:
            yield from _faults(value[name], shape[str], front + name)


def _shown(value: Any) -> str:
    # `repr` of an integer of thousands of digits is an error of its own.
    if isinstance(value, int) and abs(value) >= _LARGEST:
        return f"a number of {value.bit_length()} bits"
    if isinstance(value, (dict, list)):
        return f"{type(value).__name__} of {len(value)}"
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


def refused(
    path: PathLike, received: Any, why: str = "It was damaged or edited."
) -> InputError:
    """Return the error of a file that is not as keras_ft wrote it."""
    return InputError(
        str(path),
        received,
        "the file exactly as keras_ft wrote it",
        f"{why} Restore it from a copy, or delete it and run again.",
    )


def _check_inside(path: Path, root: str) -> None:
    """Refuse a path that leaves a folder, which is given without links."""
    target = os.path.realpath(path)
    if target != root and not target.startswith(root.rstrip(os.sep) + os.sep):
        raise InputError(
            f"{path} leads out of its folder, to {target}. Nothing is read or "
            "written there: put a copy in its place, or remove it."
        )


def _special(path: Path) -> InputError:
    return InputError(
        f"{path} is a folder, a pipe or a device where a file is expected. "
        "Remove it, or name another folder."
    )
