"""What `load` returns."""

import dataclasses
from collections.abc import Callable
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_ft.data.normalization import Normalization
from keras_ft.errors import InputError


@dataclasses.dataclass(frozen=True)
class ImageData:
    """A labelled image data set, ready for `fit`.

    Made by `keras_ft.data.load`. Every pipeline yields `(images, labels)`:
    float32 (B, H, W, C), normalized, and int32 (B,).

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
        sizes: Images in "train", "validation" and "test".
        notes: Sentences on decisions that matter when results are read, such
            as a test split cut from the training images.

    Example:

    >>> data = keras_ft.data.load("fashion_mini")
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
    _stream: Callable[[int], Any] = dataclasses.field(repr=False)
    _choose: Callable[[str, int, int], tuple[np.ndarray, np.ndarray]] = (
        dataclasses.field(repr=False)
    )

    @property
    def classes(self) -> int:
        """Number of classes."""
        return len(self.class_names)

    def train_from(self, epoch: int) -> Any:
        """Endless training batches that begin with the given epoch.

        A batch is a function of (seed, epoch, step) alone, so that training
        continued at epoch 7 sees what an uninterrupted run would have seen.

        Args:
            epoch: Whole epochs to pass over, counted from 0.

        Example:

        >>> history = student.fit(
        ...     data.train_from(7), initial_epoch=7, epochs=10,
        ...     steps_per_epoch=data.steps_per_epoch)
        """
        if epoch < 0:
            raise InputError(
                "epoch", epoch, "0 or more", "Use 0 for the first epoch."
            )
        return self._stream(epoch)

    def starting_at(self, epoch: int) -> "ImageData":
        """The same images, in other orders and augmentations.

        Epoch 0 of the result is the given epoch of this one. So one data set
        gives several trainings batches of their own, while its splits stay.

        Args:
            epoch: Whole epochs to pass over, counted from 0.

        Example:

        >>> second = data.starting_at(20)  # after a training of 20 epochs
        """
        return dataclasses.replace(
            self, _stream=lambda later: self._stream(epoch + later)
        )

    def examples(
        self, split: str, count: int, seed: int = 0
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some images as they are, for pictures, calibration and checks.

        Args:
            split: "train", "validation" or "test".
            count: How many, 1 up to all of the split.
            seed: Another seed chooses others.

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
        return self._choose(split, count, seed)
