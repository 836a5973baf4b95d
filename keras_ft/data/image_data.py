"""Labelled images as `tf.data` pipelines: what `load` returns."""

import dataclasses
from collections.abc import Mapping
from collections.abc import Sequence
from typing import TYPE_CHECKING
from typing import Any

import numpy as np

from keras_ft.data import splits as splitting
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.normalization import Normalization
from keras_ft.data.splits import PARTS
from keras_ft.data.splits import UNLABELLED
from keras_ft.data.splits import Split
from keras_ft.errors import InputError

if TYPE_CHECKING:
    # TensorFlow is imported where it is used: `import keras_ft` must not ask
    # for it.
    from keras_ft.data.batches import Batches

STATISTICS_EXAMPLES = 60_000
# Counting takes eight times as much memory.
BLOCK, BLOCK_BYTES = 512, 2**24


@dataclasses.dataclass(frozen=True, repr=False)
class ImageData:
    """A labelled image data set, ready for `fit`.

    Made by `keras_ft.data.load`. Every pipeline yields `(images, labels)`:
    float32 (B, H, W, C), normalized, and int32 (B,).

    Where some training images have no label, each training batch begins with
    those that have one; the label of the others is -1, and a loss must know:
    `SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)`.

    Where `augment` has mixup or cutmix, labels are float32 rows (B, classes)
    that sum up to 1: mixed in training, one-hot in validation and test; rows
    of unlabelled images are 0. Train with
    `keras.losses.CategoricalCrossentropy(from_logits=True)` then;
    `metrics=["accuracy"]` fits both.

    Attributes:
        name: What was loaded.
        train: One epoch per iterator, shuffled and augmented anew each time;
            the n-th iterator is the same for the same seed.
        validation: Fixed order, not augmented.
        test: Fixed order, not augmented.
        steps_per_epoch: Training batches per epoch.
        class_names: One name per label.
        input_shape: (height, width, channels) of an image.
        normalization: Maps pixels to network input.
        sizes: Images in "train", "validation" and "test"; unlabelled ones
            are in "train".
        notes: Sentences on decisions that matter when results are read, such
            as a test split cut from the training images.
        files: Of a folder, how many files were "read", are "hidden" or
            "unreadable", or are no images, by ending; else `None`.
        class_weights: What a label of each class counts, if `load` was asked
            for it; else `None`. `dict(enumerate(data.class_weights))` is what
            Keras' `fit` takes as `class_weight`.

    Example:

    >>> data = keras_ft.data.load("fashion_mini")
    >>> print(data)
    fashion_mini: 4,500 training, 500 validation and 2,000 test images, ...
    >>> history = student.fit(
    ...     data.train, validation_data=data.validation, epochs=1)
    """

    name: str
    train: Any
    validation: Any
    test: Any
    steps_per_epoch: int
    class_names: tuple[str, ...]
    input_shape: tuple[int, int, int]
    normalization: Normalization
    sizes: Mapping[str, int]
    notes: tuple[str, ...]
    _batches: Mapping[str, "Batches"]
    _first_epoch: int = 0
    files: Mapping[str, int] | None = None
    class_weights: tuple[float, ...] | None = None

    def __repr__(self) -> str:
        return summary(
            self.name,
            self.sizes,
            self.input_shape,
            self.classes,
            self.labelled_examples,
        )

    @property
    def labelled_examples(self) -> int:
        """Return how many training images have a label."""
        return self._batches["train"].labelled

    @property
    def has_unlabelled(self) -> bool:
        """Return whether training batches hold images without a label."""
        return self._batches["train"].has_unlabelled

    @property
    def class_counts(self) -> dict[str, list[int]] | None:
        """Return each split's images by label; `None` where not known.

        Images without a label are left out. A set that is streamed from disk
        is not counted.
        """
        counts = {}
        for part, batches in self._batches.items():
            labels = batches.known_labels()
            if labels is None:
                return None
            found = np.bincount(labels, minlength=self.classes)
            counts[part] = [int(count) for count in found]
        return counts

    def labelled_only(self) -> "ImageData":
        """Return the same data, its training batches without unlabelled images.

        Every batch is filled with labelled images; batches per epoch stay as
        many. So a training on labels alone has as many steps, and sees each
        labelled image oftener.

        Example:

        >>> data = keras_ft.data.load("fashion_mini", labelled_examples=500)
        >>> history = student.fit(data.labelled_only().train, epochs=1)
        """
        if not self.has_unlabelled:
            return self
        train = self._batches["train"].labelled_only()
        return dataclasses.replace(
            self,
            train=train.shuffled(),
            _batches={**self._batches, "train": train},
        )

    def normalized(self, normalization: Normalization) -> "ImageData":
        """Return the same images with other numbers for their pixels.

        Args:
            normalization: Maps pixels to network input.

        Raises:
            InputError: It is for another number of channels.

        Example:

        >>> zero_to_one = keras_ft.data.Normalization((0.0,), (1.0,))
        >>> images, labels = next(iter(data.normalized(zero_to_one).test))
        >>> float(images.numpy().max())
        1.0
        """
        if normalization == self.normalization:
            return self
        normalization.check_channels(self.input_shape[-1])
        batches = {
            part: dataclasses.replace(some, normalization=normalization)
            for part, some in self._batches.items()
        }
        return dataclasses.replace(
            self,
            train=batches["train"].shuffled(),
            validation=batches["validation"].ordered(),
            test=batches["test"].ordered(),
            normalization=normalization,
            _batches=batches,
        )

    @property
    def classes(self) -> int:
        """Return the number of classes."""
        return len(self.class_names)

    @property
    def augment(self) -> str:
        """Return the augmentation of training images, as in "crop+flip"."""
        return self._batches["train"].augment

    @property
    def batch_size(self) -> int:
        """Return how many images a full batch has."""
        return self._batches["train"].batch_size

    def train_from(self, epoch: int) -> Any:
        """Return endless training batches that begin with the given epoch.

        A batch is a function of (seed, epoch, step) alone, so that training
        continued at epoch 7 sees what an uninterrupted run would have seen.

        Args:
            epoch: Whole epochs to pass over, counted from 0.

        Example:

        >>> history = student.fit(
        ...     data.train_from(7), initial_epoch=7, epochs=10,
        ...     steps_per_epoch=data.steps_per_epoch)
        """
        check_epoch(epoch)
        return self._batches["train"].stream(self._first_epoch + epoch)

    def numbered(self, split: str, epochs: Any = None) -> Any:
        """Return batches that say which images they consist of.

        Args:
            split: "train", "validation" or "test".
            epochs: For "train", a `tf.data.Dataset` of int64 epoch numbers,
                counted as for `train_from`. The others have one, 0.

        Returns:
            `(images, labels, numbers, epoch)`: the batches of `train_from`,
            `validation` or `test`, and each image's number in its split,
            int64 (B,); of a mixed image that of the one mixed into. Where an
            image comes several times in an epoch, it has another number each
            time.
        """
        batches = self._batches[split]
        if split != "train":
            return batches.ordered(numbered=True)
        first = self._first_epoch
        if first == 0:
            return batches.numbered(epochs)
        later = batches.numbered(epochs.map(lambda epoch: epoch + first))
        return later.map(lambda *batch: (*batch[:-1], batch[-1] - first))

    def starting_at(self, epoch: int) -> "ImageData":
        """Return the same images in other orders and augmentations.

        Epoch 0 of the result is the given epoch of this one. So one data set
        gives several trainings batches of their own, while its splits stay.

        Args:
            epoch: Whole epochs to pass over, counted from 0.

        Example:

        >>> second = data.starting_at(20)  # after a training of 20 epochs
        """
        return dataclasses.replace(self, _first_epoch=self._first_epoch + epoch)

    def rows(self, split: str) -> int:
        """Return how many images one epoch of a split has.

        An image that comes several times counts each time; that happens only
        where labelled and unlabelled images are mixed.
        """
        return self._batches[split].rows

    def number_bound(self, split: str) -> int:
        """Return what all the numbers that `numbered` gives lie below."""
        return self._batches[split].numbers

    def examples(
        self, split: str, count: int, seed: int = 0, labelled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return some images as they are, for pictures and calibration.

        Args:
            split: "train", "validation" or "test".
            count: How many, 1 up to all of the split.
            seed: Another seed chooses others.
            labelled: Choose among the images that have a label; fewer may
                come than were asked for.

        Returns:
            uint8 images (count, H, W, C) and int32 labels (count,).

        Raises:
            InputError: There is no such split or it has fewer images.

        Example:

        >>> images, labels = data.examples("validation", 16)
        """
        if split not in self.sizes:
            raise InputError(
                "split", split, f"one of {list(self.sizes)}", 'Use "test".'
            )
        if not 1 <= count <= self.sizes[split]:
            raise InputError(
                "count",
                count,
                f"1 to {self.sizes[split]}, the images in {split}",
                "Ask for fewer.",
            )
        return self._batches[split].choose(count, seed, labelled)


def summary(
    name: str,
    sizes: Mapping[str, int],
    shape: tuple[int, ...],
    classes: int,
    labelled: int | None = None,
) -> str:
    """Return one line on a data set."""
    train, validation, test = (sizes[part] for part in PARTS)
    size = "x".join(map(str, shape))
    if labelled in (None, train):
        training = f"{train:,} training"
    else:
        training = f"{train:,} training ({labelled:,} of them labelled)"
    return (
        f"{name}: {training}, {validation:,} validation and "
        f"{test:,} test images, {size}, {classes} classes"
    )


def check_epoch(epoch: int) -> None:
    """Refuse an epoch below 0."""
    if epoch < 0:
        raise InputError(
            "epoch", epoch, "0 or more", "Use 0 for the first epoch."
        )


def from_splits(
    name: str,
    splits: Mapping[str, Split],
    class_names: tuple[str, ...],
    settings: LoadSettings,
    usual: Normalization | None = None,
    unlabelled: Split | None = None,
    notes: tuple[str, ...] = (),
    files: Mapping[str, int] | None = None,
) -> ImageData:
    """Divide a source's images and make pipelines of the parts.

    Args:
        name: Shown to the user.
        splits: The source's own splits, "train" among them.
        class_names: One per label.
        settings: What `load` was asked for.
        usual: The data set's usual normalization; computed if `None`.
        unlabelled: Images without labels that join the training images.
        notes: Sentences on how the source was read.
        files: See `ImageData`.
    """
    from keras_ft.data.batches import IndexedBatches
    from keras_ft.data.batches import MixedBatches
    from keras_ft.data.batches import join

    for split, members in splits.items():
        if len(members) == 0:
            raise InputError(f"{name} has no images in its {split} split.")
    train = splits["train"]
    shape = train.images(np.arange(1)).shape[1:]
    normalization = settings.normalization or usual or statistics(train)
    parts, of_splits = splitting.divide(splits, settings)
    common: dict[str, Any] = {
        "image_shape": shape,
        "normalization": normalization,
    }
    batches: dict[str, Batches] = {
        part: IndexedBatches(
            split=parts[part],
            **common,
            **settings.batching(part, len(class_names)),
        )
        for part in PARTS
    }
    if unlabelled is not None:
        parts["train"] = join(parts["train"], unlabelled)
    known = int(np.sum(parts["train"].labels != UNLABELLED))
    if known < len(parts["train"]):
        batches["train"] = MixedBatches(
            split=parts["train"],
            labelled_per_batch=settings.labelled_per_batch(
                known, len(parts["train"])
            ),
            **common,
            **settings.batching("train", len(class_names)),
        )
    elif settings.labelled_share is not None:
        raise InputError(
            "labelled_share",
            settings.labelled_share,
            "None, as all training images have labels",
            "Leave it out, or name images without labels by unlabelled=.",
        )
    found = from_batches(name, batches, class_names, notes + of_splits)
    if settings.class_weights is None:
        return dataclasses.replace(found, files=files)
    labels = parts["train"].labels
    counts = np.bincount(
        labels[labels != UNLABELLED], minlength=len(class_names)
    )
    weights = balanced(counts.tolist())
    return dataclasses.replace(found, files=files, class_weights=weights)


def balanced(counts: Sequence[int]) -> tuple[float, ...]:
    """Return a weight for each class, so that all classes count alike.

    All images over those of the class, and over the classes, as in
    scikit-learn: the mean over all images is 1. A class that is absent has 1.

    Example:

    >>> from keras_ft.data.image_data import balanced
    >>> balanced([60, 20])
    (0.666..., 2.0)
    """
    present = sum(count > 0 for count in counts)
    return tuple(
        sum(counts) / (present * count) if count else 1.0 for count in counts
    )


def from_batches(
    name: str,
    batches: Mapping[str, "Batches"],
    class_names: tuple[str, ...],
    notes: tuple[str, ...],
) -> ImageData:
    """Return the data set that batches of the three splits make.

    Raises:
        InputError: The normalization is for other images, or an epoch has no
            batch.
    """
    train = batches["train"]
    train.normalization.check_channels(train.image_shape[-1])
    if train.steps == 0:
        raise InputError(
            "batch_size",
            train.batch_size,
            f"at most {len(train)}, the number of training images, as "
            "drop_remainder leaves out a smaller batch",
            "Use a smaller batch_size.",
        )
    return ImageData(
        name=name,
        train=train.shuffled(),
        validation=batches["validation"].ordered(),
        test=batches["test"].ordered(),
        steps_per_epoch=train.steps,
        class_names=class_names,
        input_shape=train.image_shape,
        normalization=train.normalization,
        sizes={part: len(batches[part]) for part in PARTS},
        notes=notes,
        _batches=batches,
    )


def statistics(train: Split) -> Normalization:
    """Return mean and deviation of the source's training images.

    Taken before anything is cut from them, so that they depend on no seed
    and a teacher and its student agree. Of more than 60,000 images every
    n-th counts.
    """
    stride = -(-len(train) // STATISTICS_EXAMPLES)
    chosen = np.arange(0, len(train), stride)
    image_bytes = train.images(chosen[:1]).nbytes
    block = max(1, min(BLOCK, BLOCK_BYTES // image_bytes))
    blocks = np.array_split(chosen, -(-len(chosen) // block))
    return Normalization.of(train.images(block) for block in blocks)
