"""The test images that `.tflite` files are asked about."""

import dataclasses
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from keras_ft.experiments import models
from keras_ft.export.student import in_float32
from keras_ft.export.student import student_logits


@dataclasses.dataclass(frozen=True)
class Exam:
    """Test images, and what is known about them.

    Args:
        dataset: Name of the dataset.
        images: Pixels 0..255, uint8, shape (N, H, W, C).
        labels: The right class of each, shape (N,).
        expected: Keras' probabilities (N, classes), to agree with; `None`
            without a student.
        classes: Number of classes.

    Example:

    >>> exam = Exam("cifar10", images, labels, None, 10)
    """

    dataset: str
    images: np.ndarray
    labels: np.ndarray
    expected: np.ndarray | None
    classes: int

    @property
    def keras_accuracy(self) -> float | None:
        """Keras' share of right answers, 0..1."""
        if self.expected is None:
            return None
        right = np.argmax(self.expected, axis=-1) == self.labels
        return float(right.mean())


def make_exam(loaded: Any, student: keras.Model | None, count: int) -> Exam:
    """Test images of a dataset, and Keras' answers.

    Args:
        loaded: What `data.load` returned.
        student: Returns logits; `None` where there is none.
        count: At most so many images.

    Returns:
        The exam.

    Raises:
        InputError: The student does not fit the dataset.

    Example:

    >>> exam = make_exam(keras_ft.data.load("fashion_mini"), student, 1000)
    """
    count = min(count, loaded.sizes["test"])
    images, labels = loaded.examples("test", count)
    expected = None
    if student is not None:
        models.check_fit(student, loaded, "student")
        scaling = loaded.normalization.scale_and_shift()
        logits = student_logits(in_float32(student), images, scaling)
        expected = softmax(logits, axis=-1)
    return Exam(loaded.name, images, labels, expected, loaded.classes)
