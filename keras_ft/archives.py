"""Read networks, weights and arrays from files that anybody may have made.

A small file can unpack to what no machine holds, and names the classes that a
library builds. So Keras, h5py and NumPy are given a file only after what it
declares was looked at: its unpacked size, entries, shapes, layers and links.
While Keras builds a network its parameters are counted before they are made.
"""

import contextlib
import dataclasses
import io
import math
import os
import threading
import warnings
import zipfile
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from typing import BinaryIO

import h5py
import keras
import numpy as np

from keras_ft import reading
from keras_ft.errors import InputError
from keras_ft.reading import FACTOR
from keras_ft.reading import PathLike

_LAMBDA = (
    "A Lambda layer is code, which is not run from a file: build the network "
    "with a stock layer in its place, such as Rescaling, copy the weights and "
    "save it as .keras."
)
CONFIG = "config.json"
# Endings of networks that Keras 2 wrote as a whole.
OLD = (".h5", ".hdf5")
_ZIP = b"PK\x03\x04"
# Less than this does no harm, however small the file is.
_FLOOR = 64 * 2**20
# Of an `.npy` entry; NumPy's own limit is 10,000.
_HEADER = 16_384
# Seeds and counters are not in every file, and packed integers are fewer than
# what they stand for.
_UNSAVED, _PACKED = 1_000_000, 2
_SHOWN = 300
_building = threading.RLock()


@dataclasses.dataclass(frozen=True)
class Limits:
    """How large what is in a file may be.

    Attributes:
        unpacked: Bytes in all.
        ratio: Unpacked bytes per byte of the file, beyond 64 MiB.
        entries: Entries of an archive, or groups and arrays of HDF5.
        layers: Layers of a network.
        parameters: Parameters of a network.
    """

    unpacked: int = 4 * 2**30
    ratio: int = 100
    entries: int = 20_000
    layers: int = 5_000
    parameters: int = 10**9

    @classmethod
    def of_today(cls) -> "Limits":
        """Return the limits, raised as `--file_limits` says.

        Raises:
            InputError: The environment's factor is no number of at least 1.
        """
        word = os.environ.get(FACTOR, "1")
        try:
            factor = float(word)
        except ValueError:
            factor = 0.0
        if not 1.0 <= factor <= 1e6:
            raise InputError(
                "file_limits",
                word,
                "a number from 1 to 1,000,000",
                f"Use --file_limits=10, or set {FACTOR}=10.",
            )
        usual = dataclasses.asdict(cls())
        return cls(**{name: int(factor * n) for name, n in usual.items()})


def load_network(path: PathLike) -> keras.Model:
    """Return the network of a `.keras` file or an old `.h5`, not compiled.

    Args:
        path: The file.

    Raises:
        InputError: It is missing, damaged or too large, or it needs code that
            is not run from a file, as a `Lambda` layer does.
    """
    path = Path(path)
    try:
        declared = _check(path)
        with _counting(path, declared), warnings.catch_warnings():
            if path.suffix in OLD:  # Keras 3 has renamed some arguments.
                warnings.simplefilter("ignore")
            return keras.models.load_model(path, compile=False, safe_mode=True)
    except InputError:
        raise
    except Exception as error:  # Keras raises many kinds for a bad file.
        reason = _reason(error)
        raise InputError(
            str(path),
            reason,
            "a .keras file written by Keras 3",
            _remedy(path, reason),
        ) from error


def load_weights(model: keras.Model, path: PathLike) -> None:
    """Load a `.weights.h5` file into a built network.

    Args:
        model: The network.
        path: The file.

    Raises:
        InputError: The file is damaged, too large or of another network.
    """
    try:
        _check(Path(path))
        model.load_weights(path)
    except InputError:
        raise
    except Exception as error:  # Many kinds, as above.
        raise InputError(
            str(path),
            _reason(error),
            f"the weights of {model.name!r}",
            "Use the file that was saved from this network.",
        ) from error


def load_arrays(path: PathLike) -> dict[str, np.ndarray]:
    """Return the arrays of an `.npz` file by their names.

    Args:
        path: The file.

    Raises:
        InputError: It is missing, damaged or too large, or holds objects,
            which are pickled code.
    """
    path = Path(path)
    try:
        # Opened here, as NumPy leaves a damaged file open.
        with reading.open_file(path) as file:
            size = path.stat().st_size
            _check_zip(file, path, Limits.of_today(), size, arrays=True)
            file.seek(0)
            with np.load(file, allow_pickle=False) as arrays:
                return {name: arrays[name] for name in arrays.files}
    except InputError:
        raise
    except Exception as error:  # Zip, zlib and NumPy have their own.
        raise InputError(
            str(path),
            f"{type(error).__name__}: {_reason(error)}",
            "a readable .npz file of arrays, without pickled objects",
            "Check the path; write the file with np.savez(path, **{name: "
            "tensor.cpu().numpy() for each entry of the state_dict}).",
        ) from error


def _check(path: Path) -> int:
    """Refuse a file that is too large or refers to others.

    Returns:
        How many numbers its weights are.
    """
    limits = Limits.of_today()
    size = reading.check_file(path).stat().st_size
    with reading.open_file(path) as file:
        # As Keras chooses: a file can be both.
        if path.suffix in OLD:
            return _check_hdf5(file, path, limits, size)
        if not zipfile.is_zipfile(file):
            raise ValueError("no zip archive")
        return _check_zip(file, path, limits, size)


def _check_zip(
    file: BinaryIO,
    path: Path,
    limits: Limits,
    size: int,
    arrays: bool = False,
) -> int:
    """Check every entry; return how many numbers the weights are.

    Args:
        file: The archive, open.
        path: The file, for messages.
        limits: What is allowed.
        size: Bytes of the archive.
        arrays: Whether it is to be an `.npz`, of which NumPy reads all.
    """
    if arrays:
        # As NumPy chooses: a file can be an archive and something else.
        file.seek(0)
        if file.read(len(_ZIP)) != _ZIP:
            raise ValueError("no archive of arrays, but perhaps a pickle")
    numbers = 0
    with zipfile.ZipFile(file) as archive:
        entries = archive.infolist()
        _check_count(path, "entries", len(entries), limits.entries)
        names = [entry.filename for entry in entries]
        reading.check({"entries": names}, {"entries": [reading.NAME]}, path)
        if len(set(names)) < len(names):
            raise reading.refused(path, "two entries of one name")
        _check_size(path, sum(e.file_size for e in entries), size, limits)
        for entry in entries:
            if arrays:
                numbers += _check_array(archive, entry)
            elif entry.filename == CONFIG:
                text = _read(archive, entry, reading.MOST_BYTES)
                _check_config(reading.parse_json(text, path), path, limits)
            elif entry.filename.endswith(".h5"):
                inner = io.BytesIO(_read(archive, entry, limits.unpacked))
                numbers += _check_hdf5(inner, path, limits, entry.file_size)
            elif entry.filename.endswith(".npz"):
                inner = io.BytesIO(_read(archive, entry, limits.unpacked))
                numbers += _check_zip(
                    inner, path, limits, entry.file_size, arrays=True
                )
    return numbers


def _read(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, most: int) -> bytes:
    if entry.file_size > most:
        raise ValueError(f"{entry.filename} has {entry.file_size:,} bytes")
    return archive.read(entry)


def _check_config(config: Any, path: Path, limits: Limits) -> None:
    """Refuse code in a network's description, and too many layers."""
    layers, waiting = 0, [config]
    while waiting:
        part = waiting.pop()
        if isinstance(part, dict):
            if part.get("class_name") == "__lambda__" or (
                part.get("function_type") == "lambda"
            ):
                raise _of_lambda(path)
            inside = part.get("layers")
            layers += len(inside) if isinstance(inside, list) else 0
        waiting += _values(part)
    _check_count(path, "layers", layers, limits.layers)


def _values(part: Any) -> Iterable[Any]:
    if isinstance(part, dict):
        return part.values()
    return part if isinstance(part, list) else ()


def _check_array(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> int:
    """Refuse an array that declares more numbers than there are bytes."""
    with archive.open(entry) as stream:
        header = io.BytesIO(stream.read(_HEADER))
    version = np.lib.format.read_magic(header)
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(header)
    if dtype.hasobject:
        raise ValueError(f"{entry.filename} holds objects, which are pickled")
    numbers = math.prod(shape)
    if min(shape, default=0) < 0 or (
        numbers * dtype.itemsize + header.tell() != entry.file_size
    ):
        raise ValueError(
            f"{entry.filename} declares the shape {shape}, which is not what "
            f"{entry.file_size:,} bytes hold"
        )
    return numbers


def _check_hdf5(source: BinaryIO, path: Path, limits: Limits, size: int) -> int:
    """Refuse HDF5 with links, and arrays larger than what is stored."""
    numbers = unpacked = count = 0
    seen = set()
    with h5py.File(source, "r") as file:
        waiting = [file]
        while waiting:
            group = waiting.pop()
            _check_description(group, path, limits)
            for name in group:
                count += 1
                _check_count(path, "groups and arrays", count, limits.entries)
                link = group.get(name, getlink=True)
                if not isinstance(link, h5py.HardLink):
                    raise reading.refused(
                        path, f"a link to elsewhere, {group.name}/{name}"
                    )
                item = group[name]
                place = h5py.h5o.get_info(item.id).addr
                if place in seen:
                    continue
                seen.add(place)
                if isinstance(item, h5py.Group):
                    waiting.append(item)
                elif isinstance(item, h5py.Dataset):
                    if item.is_virtual or item.external:
                        raise reading.refused(
                            path, f"data in another file, {item.name}"
                        )
                    many = math.prod(item.shape or ())
                    numbers += many
                    unpacked += many * item.dtype.itemsize
                    _check_size(path, unpacked, size, limits)
    _check_count(path, "parameters", numbers, limits.parameters)
    return numbers


def _check_description(group: Any, path: Path, limits: Limits) -> None:
    """Check the description of the network in an old `.h5`."""
    text = group.attrs.get("model_config")
    if isinstance(text, (str, bytes)):
        _check_config(reading.parse_json(text, path), path, limits)


def _check_size(path: Path, unpacked: int, size: int, limits: Limits) -> None:
    most = min(limits.unpacked, max(_FLOOR, limits.ratio * size))
    if unpacked > most:
        raise InputError(
            f"{path} has {size:,} bytes and unpacks to {unpacked:,}, more than "
            f"the {most:,} that are allowed. If you trust it, pass "
            f"--file_limits=10 or set {FACTOR}=10."
        )


def _check_count(path: Path, what: str, count: int, most: int) -> None:
    if count > most:
        raise InputError(
            f"{path} has {count:,} {what}, more than the {most:,} that are "
            f"allowed. If you trust it, pass --file_limits=10 or set "
            f"{FACTOR}=10."
        )


@contextlib.contextmanager
def _counting(path: Path, declared: int) -> Iterator[None]:
    """Refuse parameters beyond those that a file holds, before they are made.

    Keras builds a network from its description, and looks afterwards whether
    the file has weights for it. All its layers ask `Layer.add_weight`.
    """
    made, owner = 0, threading.get_ident()
    most = _PACKED * declared + _UNSAVED
    original = keras.layers.Layer.add_weight

    def add_weight(
        self: Any, shape: Any = None, *args: Any, **more: Any
    ) -> Any:
        nonlocal made
        if threading.get_ident() == owner:
            sizes = shape if isinstance(shape, (tuple, list)) else (shape or 1,)
            made += math.prod(sizes)
            if made > most:
                raise ValueError
        return original(self, shape, *args, **more)

    with _building:
        keras.layers.Layer.add_weight = add_weight
        try:
            yield
        except Exception:
            if made <= most:
                raise
            raise InputError(
                f"{path} describes a network of at least {made:,} parameters "
                f"and holds {declared:,}. Save it again with model.save(...)."
            ) from None
        finally:
            keras.layers.Layer.add_weight = original


def _reason(error: Exception) -> str:
    """Return what Keras says innermost, in a line."""
    words = str(error).rsplit("Exception encountered:", 1)[-1].strip()
    line = (words or type(error).__name__).splitlines()[0]
    return line if len(line) <= _SHOWN else f"{line[:_SHOWN]}..."


def _of_lambda(path: Path) -> InputError:
    return InputError(
        str(path),
        "a network with a Lambda layer; Lambda layers are not loaded",
        "a .keras file written by Keras 3",
        _LAMBDA,
    )


def _remedy(path: Path, reason: str) -> str:
    if "Lambda" in reason:
        return _LAMBDA
    if path.suffix in OLD and "config" in reason:
        return (
            "It holds weights alone: build the network, call "
            f"model.load_weights({path.name!r}) and save it as .keras."
        )
    return "Save the model again with model.save(...)."
