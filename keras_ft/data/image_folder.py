"""Image folders: one folder of image files per class."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import tensorflow as tf

from keras_ft.data import batches
from keras_ft.data.splits import UNLABELLED
from keras_ft.data.splits import Split
from keras_ft.errors import InputError

SPLIT_FOLDERS = {
    "train": ("train",),
    "validation": ("validation", "valid", "val"),
    "test": ("test",),
}
UNLABELLED_FOLDERS = ("unlabelled", "unlabeled")
# What tf.io.decode_image reads; an animation gives its first picture.
ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".gif"}
GREY_MODES = {"1", "L", "I", "I;16"}
LAYOUT = (
    "a folder with train/<class>/*.jpg (and validation/, test/ if you have "
    "them), or with <class>/*.jpg, as .jpg, .png, .bmp or .gif"
)


def read(
    path: Path, image_size: tuple[int, int] | None, memory_limit: int
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Return the splits of an image folder, and its class names.

    Classes are the sorted folder names. Images are grey if all files are,
    else RGB; they are resized to `image_size` without regard to proportions.

    Args:
        path: A folder laid out as `LAYOUT` says.
        image_size: (height, width) in pixels; `None` keeps the size, which
            all images must then share.
        memory_limit: With more decoded bytes than this, files are read again
            each time they are used.

    Raises:
        InputError: The folder is laid out otherwise, or a file is no image.
    """
    folders = _split_folders(path)
    class_names = tuple(sorted(_class_folders(folders["train"])))
    files = {s: _files(folders[s], class_names) for s in folders}
    everything = [file for members, _ in files.values() for file in members]
    size, channels = _inspect(everything, image_size)
    held = size[0] * size[1] * channels * len(everything) <= memory_limit
    splits = {
        split: _split(paths, labels, size, channels, held)
        for split, (paths, labels) in files.items()
    }
    return splits, class_names


def unlabelled_inside(path: Path) -> Path | None:
    """Return the folder of unlabelled images in an image folder, if any."""
    found = (path / name for name in UNLABELLED_FOLDERS)
    return next((folder for folder in found if folder.is_dir()), None)


def read_unlabelled(
    path: Path,
    shape: tuple[int, int, int],
    image_size: tuple[int, int] | None,
    memory_limit: int,
) -> Split:
    """Return all images below a folder, to join labelled ones.

    Args:
        path: Image files, in subfolders or not.
        shape: (height, width, channels) of the labelled images.
        image_size: What the labelled ones were resized to; `None` if they
            kept their size, which these must have then.
        memory_limit: As for `read`.

    Raises:
        InputError: There are none, one is damaged, or they do not fit.
    """
    files = _images_below(path)
    if not files:
        raise InputError(
            f"There are no images in {path}. Expected are .jpg, .png, .bmp or "
            ".gif files, in subfolders or not."
        )
    size, channels = _inspect(files, image_size)
    if size != shape[:2]:
        raise InputError(
            "unlabelled",
            f"images of {size[0]}x{size[1]} pixels in {path}",
            f"{shape[0]}x{shape[1]}, as the labelled ones are",
            f"Pass image_size=({shape[0]}, {shape[1]}) to resize them all.",
        )
    if channels > shape[2]:
        raise InputError(
            "unlabelled",
            f"color images in {path}",
            "gray ones, as the labelled images are",
            "Convert them, or use color images everywhere.",
        )
    labels = np.full(len(files), UNLABELLED, np.int32)
    held = int(np.prod(shape)) * len(files) <= memory_limit
    return _split(files, labels, size, shape[2], held)


def _split(
    paths: list[Path],
    labels: np.ndarray,
    size: tuple[int, int],
    channels: int,
    held: bool,
) -> Split:
    fetch = _fetch_files(paths, size, channels)
    if held and paths:
        images = _decode_all(fetch, paths)
        return batches.split_in_memory(images, labels)
    return Split(fetch, labels, np.arange(len(labels)))


def _split_folders(path: Path) -> dict[str, Path]:
    if not (path / "train").is_dir():
        return {"train": path}
    return {
        split: path / name
        for split, names in SPLIT_FOLDERS.items()
        for name in names
        if (path / name).is_dir()
    }


def _class_folders(folder: Path) -> set[str]:
    names = {entry.name for entry in folder.iterdir() if entry.is_dir()}
    return names - {*UNLABELLED_FOLDERS}


def _files(
    folder: Path, class_names: tuple[str, ...]
) -> tuple[list[Path], np.ndarray]:
    """Return all image files of a split, sorted, and their labels."""
    unknown = _class_folders(folder) - {*class_names}
    if len(class_names) < 2 or unknown:
        wrong = f"the classes {sorted(unknown)}" if unknown else class_names
        raise InputError(
            f"{folder} has {wrong}, not two or more class folders, the same "
            f"in every split. Expected is {LAYOUT}."
        )
    paths: list[Path] = []
    labels: list[int] = []
    for label, name in enumerate(class_names):
        members = _images_below(folder / name)
        paths += members
        labels += [label] * len(members)
    return paths, np.array(labels, np.int32)


def _images_below(folder: Path) -> list[Path]:
    return [
        file
        for file in sorted(folder.rglob("*"))
        if file.suffix.lower() in ENDINGS and file.is_file()
    ]


def _inspect(
    files: list[Path], image_size: tuple[int, int] | None
) -> tuple[tuple[int, int], int]:
    """Return (height, width) and channels, from the headers of all files."""
    sizes: dict[tuple[int, int], Path] = {}
    modes = set()
    for file in files:
        try:
            with PIL.Image.open(file) as image:
                sizes.setdefault((image.height, image.width), file)
                modes.add(image.mode)
        except OSError as error:
            raise _unreadable(file) from error
    if not files:
        raise InputError(f"There are no images. Expected is {LAYOUT}.")
    if image_size is None and len(sizes) > 1:
        different = [f"{file.name} {size}" for size, file in sizes.items()][:2]
        raise InputError(
            "image_size",
            f"None for images of {len(sizes)} sizes: {different}",
            "one (height, width) for all images",
            "Pass for example image_size=(64, 64).",
        )
    return image_size or next(iter(sizes)), 1 if modes <= GREY_MODES else 3


def _fetch_files(
    paths: list[Path], size: tuple[int, int], channels: int
) -> Callable[[Any], Any]:
    names = tf.constant([str(path) for path in paths], tf.string)
    shape = tf.TensorSpec((*size, channels), tf.uint8)

    def decode(position: Any) -> Any:
        image = tf.io.decode_image(
            tf.io.read_file(names[position]), channels, expand_animations=False
        )
        return batches.resize(image, size)

    return lambda positions: tf.map_fn(
        decode, positions, fn_output_signature=shape
    )


def _decode_all(fetch: Callable[[Any], Any], paths: list[Path]) -> np.ndarray:
    images = tf.data.Dataset.range(len(paths)).map(
        lambda position: fetch(position[None])[0],
        num_parallel_calls=batches.cores(),
    )
    decoded: list[np.ndarray] = []
    try:
        decoded.extend(images.as_numpy_iterator())
    except tf.errors.InvalidArgumentError as error:
        raise _unreadable(paths[len(decoded)]) from error
    return np.stack(decoded)


def _unreadable(file: Path) -> InputError:
    return InputError(
        f"{file} is no whole JPEG, PNG, BMP or GIF image. Replace or remove it."
    )
