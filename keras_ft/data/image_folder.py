"""Image folders: one folder of image files per class."""

import dataclasses
import os
import shutil
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft.data import batches
from keras_ft.data import folder_layout
from keras_ft.data import image_files
from keras_ft.data.splits import UNLABELLED
from keras_ft.data.splits import Split
from keras_ft.errors import InputError

# Files that are named in a message.
_NAMED = 10


@dataclasses.dataclass(frozen=True)
class ImageFolder:
    """Hold the images of a folder.

    Args:
        splits: "train", and "validation" and "test" where there are.
        class_names: One per label: the sorted names of the folders.
        unlabelled: The folder of images without labels, if any.
        notes: Sentences on what was set aside or left out.
        files: How many files were "read", how many are "hidden" (litter
            among them) or "unreadable", and how many are no images, by
            ending.
    """

    splits: Mapping[str, Split]
    class_names: tuple[str, ...]
    unlabelled: Path | None
    notes: tuple[str, ...]
    files: Mapping[str, int]


def read(
    path: Path,
    image_size: tuple[int, int] | None,
    skip_unreadable: bool = False,
) -> ImageFolder:
    """Read an image folder.

    Images are grey if all files are, else RGB; see `image_files` for what is
    done to them. They are decoded once, into a file in the folder for
    temporary files, which is read as if it were memory: what the machine has
    free is held, and the rest read again.

    Args:
        path: A folder laid out as `folder_layout.LAYOUT` says.
        image_size: (height, width) in pixels to resize to without regard to
            proportions; `None` keeps the size, which all images must then
            share.
        skip_unreadable: Go on without files that are no whole images.

    Raises:
        InputError: The folder is laid out otherwise, a file is no image, the
            sizes differ, or there is no room.
    """
    layout = folder_layout.find(folder_layout.scan(path, image_files.endings()))
    files: list[Path] = []
    members: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    for split, classes in layout.classes.items():
        labels: list[int] = []
        for label, folder in classes.items():
            images = folder.all_images()
            files += images
            labels += [label] * len(images)
        positions = np.arange(len(files) - len(labels), len(files))
        members[split] = positions, np.array(labels, np.int32)
    decoded = _decode(files, image_size, skip_unreadable)
    splits = {
        split: _split(decoded, positions, labels)
        for split, (positions, labels) in members.items()
    }
    _check_classes(splits["train"], layout.class_names)
    counts = {"read": len(files) - len(decoded.failures)}
    if decoded.failures:
        counts["unreadable"] = len(decoded.failures)
    if layout.hidden:
        counts["hidden"] = layout.hidden
    return ImageFolder(
        splits,
        layout.class_names,
        layout.unlabelled,
        layout.notes + decoded.notes,
        counts | dict(layout.skipped),
    )


def read_unlabelled(
    path: Path,
    shape: tuple[int, int, int],
    image_size: tuple[int, int] | None,
    skip_unreadable: bool = False,
) -> tuple[Split, tuple[str, ...]]:
    """Return all images below a folder, to join labelled ones.

    Args:
        path: Image files, in subfolders or not.
        shape: (height, width, channels) of the labelled images.
        image_size: What the labelled ones were resized to; `None` if they
            kept their size, which these must have then.
        skip_unreadable: As for `read`.

    Returns:
        The images, and sentences on what was left out.

    Raises:
        InputError: There are none, one is damaged, or they do not fit.
    """
    found = folder_layout.scan(path, image_files.endings())
    files = found.all_images()
    if not files:
        raise InputError(
            f"There are no images in {path}. Expected are files that Pillow "
            "reads, such as .jpg, .png or .webp, in subfolders or not."
        )
    decoded = _decode(files, image_size, skip_unreadable, shape)
    labels = np.full(len(files), UNLABELLED, np.int32)
    split = _split(decoded, np.arange(len(files)), labels)
    return split, decoded.notes


@dataclasses.dataclass(frozen=True)
class _Decoded:
    """Hold the pixels of files that are whole images."""

    fetch: Any
    failures: Mapping[int, str]
    notes: tuple[str, ...]


def _decode(
    files: Sequence[Path],
    image_size: tuple[int, int] | None,
    skip_unreadable: bool,
    labelled: tuple[int, int, int] | None = None,
) -> _Decoded:
    """Decode files, into images of the shape of `labelled` if that is given."""
    headers, failures = image_files.in_parallel(
        lambda index: image_files.read_header(files[index]),
        len(files),
        batches.cores(),
        "looking at images",
    )
    sizes: dict[tuple[int, int], Path] = {}
    for file, header in zip(files, headers, strict=True):
        if header is not None:
            sizes.setdefault(header.size, file)
    if not sizes:
        raise _unreadable(files, failures)
    colored = any(header is not None and not header.grey for header in headers)
    if image_size is None:
        _check_sizes(sizes)
        height, width = next(iter(sizes))
    else:
        height, width = image_size
    shape = (height, width, 3 if colored else 1)
    if labelled is not None:
        _check_like(shape, labelled, files[0].parent)
        shape = labelled
    _check_room(len(files), shape)
    # Removed at once where the system lets open files be removed: nothing is
    # left of it when the process ends, however it ends.
    with tempfile.TemporaryDirectory(
        prefix="keras_ft_", ignore_cleanup_errors=True
    ) as folder:
        store = image_files.PixelFile(Path(folder, "pixels"), len(files), shape)
        try:
            failures |= image_files.read_all(
                files, store, image_size, batches.cores()
            )
        except image_files.DiskError as error:
            raise InputError(
                f"The decoded images cannot be written to {folder}: {error}. "
                "Make room there, or set the environment variable TMPDIR to "
                "a folder with more."
            ) from error
        if failures and (not skip_unreadable or len(failures) == len(files)):
            raise _unreadable(files, failures)
        fetch = batches.fetch_from_file(store.path, (len(files), *shape))
    return _Decoded(fetch, failures, _notes(files, failures))


def _split(
    decoded: _Decoded, positions: np.ndarray, labels: np.ndarray
) -> Split:
    whole = ~np.isin(positions, list(decoded.failures))
    return Split(decoded.fetch, labels[whole], positions[whole])


def _check_sizes(sizes: Mapping[tuple[int, int], Path]) -> None:
    if len(sizes) < 2:
        return
    different = " and ".join(
        f"{file.parent.name}/{file.name} of {height}x{width}"
        for (height, width), file in list(sizes.items())[:2]
    )
    raise InputError(
        "image_size",
        f"None for images of {len(sizes)} sizes, such as {different}",
        "one height and width for all images",
        "Pass for example image_size=(96, 128), or --image_size=96,128 on "
        "the command line.",
    )


def _check_like(
    shape: tuple[int, int, int], labelled: tuple[int, int, int], where: Path
) -> None:
    if shape[:2] != labelled[:2]:
        raise InputError(
            "unlabelled",
            f"images of {shape[0]}x{shape[1]} pixels in {where}",
            f"{labelled[0]}x{labelled[1]}, as the labelled ones are",
            f"Pass image_size=({labelled[0]}, {labelled[1]}), or "
            f"--image_size={labelled[0]},{labelled[1]}, to resize them all.",
        )
    if shape[2] > labelled[2]:
        raise InputError(
            "unlabelled",
            f"color images in {where}",
            "gray ones, as the labelled images are",
            "Convert them, or use color images everywhere.",
        )


def _check_room(count: int, shape: tuple[int, int, int]) -> None:
    needed = count * int(np.prod(shape))
    folder = tempfile.gettempdir()
    free = shutil.disk_usage(folder).free
    if needed > free:
        raise InputError(
            f"{count:,} images of {shape[0]}x{shape[1]} pixels take "
            f"{needed / 2**30:.1f} GiB decoded, and {folder} has "
            f"{free / 2**30:.1f} GiB free. Pass a smaller image_size, or set "
            "the environment variable TMPDIR to a folder with more room."
        )


def _check_classes(train: Split, class_names: Sequence[str]) -> None:
    """Refuse a class that lost all its training images."""
    for label, name in enumerate(class_names):
        if label not in train.labels:
            raise InputError(
                f"No training image of the class {name} can be read. Add "
                "some, or remove its folder."
            )


def _unreadable(
    files: Sequence[Path], failures: Mapping[int, str]
) -> InputError:
    are = "files are no whole images"
    if len(failures) == 1:
        are = "file is no whole image"
    common = os.path.commonpath([file.parent for file in files])
    return InputError(
        f"{len(failures):,} {are} in {common}: "
        f"{', '.join(_listed(files, failures))}. Replace or remove what is "
        "damaged, or go on without by skip_unreadable=True, on the command "
        "line --skip_unreadable."
    )


def _notes(
    files: Sequence[Path], failures: Mapping[int, str]
) -> tuple[str, ...]:
    if not failures:
        return ()
    were = "file was" if len(failures) == 1 else "files were"
    return (
        f"{len(failures):,} unreadable {were} left out: "
        f"{', '.join(_listed(files, failures))}.",
    )


def _listed(files: Sequence[Path], failures: Mapping[int, str]) -> list[str]:
    """Return the first failures' names from their common folder on."""
    common = os.path.commonpath([file.parent for file in files])
    names = [os.path.relpath(files[i], common) for i in sorted(failures)]
    more = len(names) - _NAMED
    return names[:_NAMED] + ([f"{more:,} more"] if more > 0 else [])
