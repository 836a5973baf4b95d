"""Tell which folder of photos is a split, which a class, and which neither."""

import collections
import dataclasses
import os
import re
import unicodedata
from collections.abc import Iterable
from collections.abc import Mapping
from collections.abc import Set
from pathlib import Path

from keras_ft.errors import InputError

LAYOUT = (
    "a folder with train/<class>/*.jpg (and validation/, test/ if you have "
    "them), or with <class>/*.jpg, in any format that Pillow reads"
)
_SPLIT_OF = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(
        (
            "validation",
            "validate",
            "validating",
            "valid",
            "val",
            "dev",
            "eval",
            "evaluation",
        ),
        "validation",
    ),
    **dict.fromkeys(("test", "testing", "tests", "holdout"), "test"),
    # Kaggle's images to be answered, which nobody tells the classes of.
    **dict.fromkeys(("pred", "predict", "prediction"), "predict"),
    **dict.fromkeys(("unlabelled", "unlabeled"), "unlabelled"),
}
# What names of splits are adorned with, as in `train_set` and `seg_train`.
_ADORNMENTS = (
    "set",
    "data",
    "dataset",
    "image",
    "images",
    "img",
    "imgs",
    "photos",
    "pictures",
    "split",
    "folder",
    "dir",
    "seg",
)
# What systems leave behind; all that begins with a dot is passed over, too.
_LITTER = {
    "__macosx",
    "__pycache__",
    "@eadir",
    "#recycle",
    "$recycle.bin",
    "desktop.ini",
    "ehthumbs.db",
    "icon\r",
    "lost+found",
    "system volume information",
    "thumbs.db",
}
_SHOWN = 5


@dataclasses.dataclass(frozen=True, eq=False)
class Folder:
    """Hold a folder and what is below it, without hidden files and litter.

    Args:
        path: Where it is.
        shown: The same for notes, which may travel with the student: from
            the folder on that was asked for.
        folders: Those in it, by name.
        images: Files in it with the ending of an image, by name.
        skipped: How many other files are in it, by ending.
        hidden: How many hidden files and folders, and litter.
    """

    path: Path
    shown: str
    folders: tuple["Folder", ...]
    images: tuple[Path, ...]
    skipped: Mapping[str, int]
    hidden: int

    @property
    def name(self) -> str:
        """Return its own name."""
        return self.path.name

    def below(self) -> list["Folder"]:
        """Return it and all folders below it."""
        return [self, *(f for child in self.folders for f in child.below())]

    def all_images(self) -> list[Path]:
        """Return the images in it and below."""
        return [image for folder in self.below() for image in folder.images]

    def all_skipped(self) -> "collections.Counter[str]":
        """Return how many other files are in it and below, by ending."""
        counts: collections.Counter[str] = collections.Counter()
        for folder in self.below():
            counts.update(folder.skipped)
        return counts


@dataclasses.dataclass(frozen=True)
class FolderLayout:
    """Hold how a folder of photos is understood.

    Args:
        class_names: Sorted.
        classes: For each split ("train", and "validation", "test" where there
            are) the folders of its classes by label.
        unlabelled: The folder of images without labels, if any.
        notes: Sentences on what was set aside.
        skipped: How many files are no images, by ending.
        hidden: How many files and folders are hidden or litter.
    """

    class_names: tuple[str, ...]
    classes: Mapping[str, Mapping[int, Folder]]
    unlabelled: Path | None
    notes: tuple[str, ...]
    skipped: Mapping[str, int]
    hidden: int


def scan(path: Path, endings: Set[str]) -> Folder:
    """Look through a folder; links are followed, but not in circles.

    Args:
        path: The folder.
        endings: Of image files, in small letters.

    Raises:
        InputError: A folder cannot be opened.
    """
    return _scan(path, path.resolve().name, endings, frozenset())


def _scan(
    path: Path, shown: str, endings: Set[str], above: frozenset[str]
) -> Folder:
    real = os.path.realpath(path)
    folders, images, hidden = [], [], 0
    skipped: collections.Counter[str] = collections.Counter()
    try:
        entries = sorted(os.scandir(path), key=lambda entry: entry.name)
    except OSError as error:
        raise InputError(
            f"{path} cannot be opened: {error.strerror}. Check its permissions."
        ) from error
    for entry in entries:
        place = path / entry.name
        if entry.name.startswith(".") or entry.name.lower() in _LITTER:
            hidden += 1
        elif entry.is_dir():
            if os.path.realpath(place) not in above | {real}:
                inside = f"{shown}/{entry.name}"
                folders.append(_scan(place, inside, endings, above | {real}))
        elif place.suffix.lower() in endings:
            images.append(place)
        else:
            skipped[place.suffix.lower() or "no ending"] += 1
    return Folder(path, shown, tuple(folders), tuple(images), skipped, hidden)


def find(root: Folder) -> FolderLayout:
    """Find splits and classes.

    Splits are told by their names in any capitals and usual spelling; a
    folder that is alone in its folder is looked into. What is not understood
    is refused rather than guessed.

    Args:
        root: What `scan` returned.

    Raises:
        InputError: The folder is laid out otherwise, a class has no images,
            or names of classes cannot be told apart.
    """
    notes: list[str] = []
    top = root
    while not (splits := _splits(top)) and (lone := _lone(top)):
        top = lone
    if top is not root:
        notes.append(f"The images are those in {top.shown}.")
    unlabelled = _unlabelled((root, top, splits.get("train", top)))
    if splits:
        notes += _set_aside(top, splits, unlabelled)
    else:
        splits = {"train": top}
    train = _class_level(splits["train"], "train")
    names = _class_names(train)
    labels = {_key(name): label for label, name in enumerate(names)}
    classes = {}
    for split, folder in splits.items():
        level = _class_level(folder, split)
        if split != "train" and _is_flat(level, labels):
            notes.append(_flat_note(folder, split))
            continue
        classes[split] = _classes(level, labels)
        if level.images:
            notes.append(
                f"{len(level.images)} images beside the class folders in "
                f"{level.shown} were left out: they have no class."
            )
    notes += _skipped_notes(classes)
    return FolderLayout(
        names,
        classes,
        unlabelled.path if unlabelled else None,
        tuple(notes),
        root.all_skipped(),
        sum(folder.hidden for folder in root.below()),
    )


def split_of(name: str) -> tuple[str | None, frozenset[str]]:
    """Return which split a folder's name means, and its other words.

    Example:

    >>> from keras_ft.data.folder_layout import split_of
    >>> split_of("Training_Set"), split_of("asl_alphabet_test")[0]
    (('train', frozenset()), 'test')
    """
    # A capital begins a word, as in trainData; digits and signs part words.
    words = re.findall(r"[^\W\d_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name))
    if not words:
        return None, frozenset({name})
    splits, others = set(), set()
    for word in (word.lower() for word in words):
        bare = _SPLIT_OF.get(word) or _SPLIT_OF.get(_without_adornment(word))
        if bare is not None:
            splits.add(bare)
        elif word not in _ADORNMENTS:
            others.add(word)
    split = next(iter(splits)) if len(splits) == 1 else None
    return split, frozenset(others)


def _without_adornment(word: str) -> str:
    """Return "train" for "trainset"."""
    for adornment in _ADORNMENTS:
        if word.endswith(adornment):
            return word.removesuffix(adornment)
    return word


def _splits(top: Folder) -> dict[str, Folder]:
    """Return the folders of splits by split; none where these are classes."""
    named = {folder: split_of(folder.name) for folder in _holding(top)}
    candidates = [
        folder
        for folder, (split, others) in named.items()
        if split == "train"
        and _holding(folder)
        and _may_be_split(folder, named, others)
    ]
    if not candidates:
        return {}
    # `train` beside `asl_train`: the plain one.
    plainest = min(len(named[folder][1]) for folder in candidates)
    first = next(f for f in candidates if len(named[f][1]) == plainest)
    found: dict[str, list[Folder]] = {}
    for folder, (split, others) in named.items():
        if split in ("train", "validation", "test") and (
            others == named[first][1]
        ):
            found.setdefault(split, []).append(folder)
    for split, folders in found.items():
        if len(folders) > 1:
            names = " and ".join(folder.name for folder in folders)
            raise InputError(
                f"{top.path} has {len(folders)} folders for its {split} "
                f"split: {names}. Keep one of them there."
            )
    return {split: folders[0] for split, folders in found.items()}


def _may_be_split(
    train: Folder,
    named: Mapping[Folder, tuple[str | None, frozenset[str]]],
    others: frozenset[str],
) -> bool:
    """Return whether a folder that is called train is no class of trains."""
    if not others and not train.images:
        return True
    # With further words or images of its own it is one only among its like:
    # a `bullet_train` beside a `car` is a class.
    return all(
        split is not None and (words == others or split == "unlabelled")
        for split, words in named.values()
    )


def _holding(folder: Folder) -> list[Folder]:
    """Return the folders in a folder that hold images."""
    return [child for child in folder.folders if child.all_images()]


def _lone(folder: Folder) -> Folder | None:
    """Return the folder that is all there is in a folder, to look into."""
    if len(folder.folders) != 1 or folder.images:
        return None
    (lone,) = folder.folders
    return lone if _holding(lone) else None


def _class_level(folder: Folder, split: str) -> Folder:
    """Return where a split's class folders are: seg_train/seg_train/..."""
    while (lone := _lone(folder)) is not None:
        found, others = split_of(lone.name)
        if lone.name != folder.name and (found not in (None, split) or others):
            break
        folder = lone
    return folder


def _unlabelled(places: Iterable[Folder]) -> Folder | None:
    for place in places:
        for folder in place.folders:
            if split_of(folder.name) == ("unlabelled", frozenset()):
                return folder
    return None


def _class_folders(level: Folder) -> list[Folder]:
    return [
        folder
        for folder in level.folders
        if split_of(folder.name) != ("unlabelled", frozenset())
    ]


def _class_names(train: Folder) -> tuple[str, ...]:
    """Return the sorted class names, checked."""
    folders = _class_folders(train)
    names = sorted(folder.name for folder in folders)
    for name in names:
        _check_name(name, train)
    if len(names) < 2 or _are_splits(names):
        wrong = ", ".join(names[:_SHOWN]) or "no folders"
        raise InputError(
            f"{train.path} has {wrong}, not two or more class folders. "
            f"Expected is {LAYOUT}."
        )
    if not train.all_images():
        raise InputError(
            f"There are no images in {train.path}"
            f"{_only(train.all_skipped())}. Expected is {LAYOUT}."
        )
    _check_distinct(names, train)
    for folder in folders:
        if not folder.all_images():
            raise InputError(
                f"The class {folder.name} has no images in {folder.path}"
                f"{_only(folder.all_skipped())}. Add some, or remove the "
                "folder."
            )
    return tuple(names)


def _are_splits(names: Iterable[str]) -> bool:
    """Return whether names are a training and a test split's, or the like."""
    alike: dict[frozenset[str], set[str]] = {}
    for name in names:
        split, others = split_of(name)
        if split is not None:
            alike.setdefault(others, set()).add(split)
    return any(len(splits) > 1 for splits in alike.values())


def _check_name(name: str, where: Folder) -> None:
    kinds = {unicodedata.category(letter) for letter in name}
    if kinds & {"Cc", "Cs", "Zl", "Zp"}:
        problem = "holds control characters or bytes that are no letters"
    elif all(kind[0] in "CZ" for kind in kinds):
        problem = "is blank"
    else:
        return
    raise InputError(
        f"The name {ascii(name)} of a class folder in {where.path} {problem}. "
        "Rename the folder: it is shown to users of the app."
    )


def _key(name: str) -> str:
    """Return what two names share that nobody can tell apart."""
    folded = unicodedata.normalize("NFC", name).casefold()
    return " ".join(unicodedata.normalize("NFC", folded).split())


def _check_distinct(names: Iterable[str], where: Folder) -> None:
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(_key(name), name)
        if other != name:
            raise InputError(
                f"{where.path} has two folders of one class, {ascii(other)} "
                f"and {ascii(name)}: they differ in capitals, spaces or the "
                "spelling of an accent. Put their images into one."
            )


def _is_flat(level: Folder, labels: Mapping[str, int]) -> bool:
    """Return whether a split has images and no classes: Kaggle's test."""
    folders = _class_folders(level)
    known = [folder for folder in folders if _key(folder.name) in labels]
    return not known and len(folders) <= 1


def _classes(level: Folder, labels: Mapping[str, int]) -> dict[int, Folder]:
    folders = _class_folders(level)
    unknown = [f.name for f in folders if _key(f.name) not in labels]
    if unknown:
        raise InputError(
            f"{level.path} has the classes {', '.join(unknown[:_SHOWN])}, "
            "which the training images lack. Expected are the same classes "
            "in every split: rename, move or remove these folders."
        )
    _check_distinct((folder.name for folder in folders), level)
    found = {labels[_key(folder.name)]: folder for folder in folders}
    return dict(sorted(found.items()))


def _flat_note(folder: Folder, split: str) -> str:
    count = len(folder.all_images())
    if count == 0:
        return f"{folder.shown} has no images and was passed over."
    return (
        f"The {count:,} images in {folder.shown} were set aside: they are in "
        f"no class folders, so they are no {split} split."
    )


def _set_aside(
    top: Folder, splits: Mapping[str, Folder], unlabelled: Folder | None
) -> list[str]:
    """Tell of images beside the splits."""
    used = [*splits.values(), unlabelled]
    notes = [
        f"The {len(folder.all_images()):,} images in {folder.shown} were set "
        "aside: its name is that of no split."
        for folder in _holding(top)
        if folder not in used
    ]
    if top.images:
        notes.append(
            f"The {len(top.images):,} images that lie loose in {top.shown} "
            "were set aside."
        )
    return notes


def _skipped_notes(classes: Mapping[str, Mapping[int, Folder]]) -> list[str]:
    counts: collections.Counter[str] = collections.Counter()
    for folders in classes.values():
        for folder in folders.values():
            counts.update(folder.all_skipped())
    if not counts:
        return []
    return [
        f"Left out of the class folders: {by_ending(counts)}, which Pillow "
        "does not read."
    ]


def by_ending(counts: Mapping[str, int]) -> str:
    """Return counts of files as words, as in "12 .heic, 3 .txt"."""
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return ", ".join(f"{count:,} {ending}" for ending, count in ordered)


def _only(skipped: Mapping[str, int]) -> str:
    if not skipped:
        return ""
    return f", only {by_ending(skipped)}, which Pillow does not read"
