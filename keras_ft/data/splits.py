"""Splits: labelled images, divided into training, validation and test."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_ft.data.load_settings import LoadSettings
from keras_ft.errors import InputError

# Uncorrelated draws from one seed: one stream of random numbers per purpose.
VALIDATION, TEST, TRAIN_EXAMPLES, LABELLED_EXAMPLES = 1, 2, 3, 4
PARTS = ("train", "validation", "test")
# The label of an image that has none.
UNLABELLED = -1


@dataclasses.dataclass(frozen=True)
class Split:
    """Some of a source's images, which are held elsewhere and not copied.

    Args:
        fetch: Maps int64 positions (B,) to uint8 images (B, H, W, C).
        labels: int32 (N,), one per image of this split.
        positions: int64 (N,), what to give to `fetch` for each of them.
    """

    fetch: Any
    labels: np.ndarray = dataclasses.field(repr=False)
    positions: np.ndarray = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, chosen: np.ndarray) -> "Split":
        """Return a split of the chosen members only."""
        return dataclasses.replace(
            self, labels=self.labels[chosen], positions=self.positions[chosen]
        )

    def images(self, chosen: np.ndarray) -> np.ndarray:
        """Return uint8 images (len(chosen), H, W, C) of the chosen members."""
        images: np.ndarray = np.asarray(self.fetch(self.positions[chosen]))
        return images


def stratified(
    labels: np.ndarray, count: int, seed: tuple[int, int]
) -> np.ndarray:
    """Choose a random part in which classes keep their proportions.

    Each class is put in random order and evenly spread over 0..1; the first
    `count` of all images are taken.

    Args:
        labels: (N,) whole numbers.
        count: How many to take, 0..N.
        seed: (seed, purpose).

    Returns:
        Their positions, int64 (count,), ascending.
    """
    order = np.random.default_rng(seed).permutation(len(labels))
    place = np.empty(len(labels))
    for label in np.unique(labels):
        members = order[labels[order] == label]
        place[members] = (np.arange(len(members)) + 0.5) / len(members)
    first = order[np.argsort(place[order], kind="stable")]
    return np.sort(first[:count])


def divide(
    splits: Mapping[str, "Split"], settings: LoadSettings
) -> tuple[dict[str, Split], tuple[str, ...]]:
    """Make train, validation and test out of what the source has.

    Args:
        splits: The source's splits; "train" must be there, "validation" and
            "test" may be.
        settings: `validation_fraction`, `train_examples`, `labelled_examples`
            and `seed` count.

    Returns:
        The three splits, and a sentence for every decision a reader of
        results should know of. Where there are `labelled_examples`, the
        label of the other training images is -1.

    Raises:
        InputError: There are too few images for what is asked.
    """
    found = dict(splits)
    notes = []
    if "test" not in found:
        found["train"], found["test"] = _hold_out(
            found["train"], settings, TEST
        )
        notes.append("The source has no test split: one was cut from train.")
    if "validation" not in found and settings.validation_fraction == 0:
        found["validation"] = found["test"]
        notes.append(
            "Validation is the test split: choose nothing by looking at it."
        )
    elif "validation" not in found:
        found["train"], found["validation"] = _hold_out(
            found["train"], settings, VALIDATION
        )
    found["train"] = _few(found["train"], settings)
    if settings.labelled_examples is not None:
        found["train"] = _few_labels(
            found["train"], settings.labelled_examples, settings.seed
        )
    return found, tuple(notes)


def _hold_out(
    split: Split, settings: LoadSettings, purpose: int
) -> tuple[Split, Split]:
    count = round(len(split) * settings.validation_fraction)
    if not 0 < count < len(split):
        raise InputError(
            "validation_fraction",
            settings.validation_fraction,
            f"a part of the {len(split)} training images that leaves some on "
            "both sides",
            "Use a fraction such as 0.1, or add images.",
        )
    held = stratified(split.labels, count, (settings.seed, purpose))
    kept = np.setdiff1d(np.arange(len(split)), held)
    return split.take(kept), split.take(held)


def _few_labels(split: Split, count: int, seed: int) -> Split:
    if count >= len(split):
        raise InputError(
            "labelled_examples",
            count,
            f"fewer than the {len(split)} labelled training images",
            "Leave it out to use all labels.",
        )
    kept = stratified(split.labels, count, (seed, LABELLED_EXAMPLES))
    labels = np.full_like(split.labels, UNLABELLED)
    labels[kept] = split.labels[kept]
    return dataclasses.replace(split, labels=labels)


def _few(split: Split, settings: LoadSettings) -> Split:
    count = settings.train_examples
    if count is None:
        return split
    if count > len(split):
        raise InputError(
            "train_examples",
            count,
            f"at most the {len(split)} training images there are",
            "Leave it out to train on all of them.",
        )
    seed = (settings.seed, TRAIN_EXAMPLES)
    return split.take(stratified(split.labels, count, seed))
