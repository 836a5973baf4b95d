"""Evaluate a classifier on a split, class by class."""

import dataclasses
from typing import Any

import keras
import numpy as np


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """Counts of a classifier's answers.

    Args:
        confusion: `confusion[true][predicted]` is a number of images.
    """

    confusion: tuple[tuple[int, ...], ...]

    @property
    def examples(self) -> int:
        """Return how many images were looked at."""
        return sum(map(sum, self.confusion))

    @property
    def accuracy(self) -> float:
        """Return the share of right answers, 0 to 1."""
        right = sum(row[i] for i, row in enumerate(self.confusion))
        return right / max(self.examples, 1)

    @property
    def class_accuracy(self) -> tuple[float, ...]:
        """Return the share of right answers of each class."""
        return tuple(
            row[i] / max(sum(row), 1) for i, row in enumerate(self.confusion)
        )

    @property
    def is_at_chance(self) -> bool:
        """Return whether the answers hardly depend on the true class.

        The mean of `class_accuracy` is that of answers drawn at random, as
        often each as they were given: within 2.5 of its deviations, or less
        than a fifth above. So a network that says the largest class of all
        images is at chance however large that class is.
        """
        counts = np.array(self.confusion, np.float64)
        images = counts.sum(axis=1)
        present = images > 0
        images = images[present]
        if not len(images):
            return True
        right = np.mean(np.diag(counts)[present] / images)
        given = counts.sum(axis=0)[present] / counts.sum()
        chance = given.mean()
        variance = np.sum(given * (1 - given) / images) / len(images) ** 2
        return bool(
            right <= chance + 2.5 * np.sqrt(variance) or right < 1.2 * chance
        )


def evaluate(model: keras.Model, dataset: Any, classes: int) -> Evaluation:
    """Ask `model` about every image of `dataset`.

    Nothing of the model changes, and it need not be compiled.

    Args:
        model: Returns logits or probabilities (B, classes).
        dataset: Finite `tf.data` of (images, labels), integers (B,) or
            one-hot rows (B, classes).
        classes: Number of classes.

    Returns:
        The confusion counts.
    """
    confusion = np.zeros((classes, classes), np.int64)
    for images, labels in dataset:
        # predict_on_batch: one trace per batch size and no progress output.
        logits = model.predict_on_batch(images)
        predicted = np.argmax(np.asarray(logits), axis=-1)
        known = np.asarray(labels)
        if known.ndim == 2:
            known = np.argmax(known, axis=-1)
        np.add.at(confusion, (known, predicted), 1)
    return Evaluation(tuple(tuple(map(int, row)) for row in confusion))
