"""What a training begins with, and that others began with the same."""

import hashlib
from collections.abc import Iterable
from typing import Any

import keras
import numpy as np

from keras_ft import artifacts
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.experiments.comparison.plan import Plan
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.models.teacher_pass import images_of

_NAMES = {
    "initial_weights": ("student", "other initial weights"),
    "first_batch": ("dataset", "another first batch of images"),
}


def of(student: keras.Model, batches: Any) -> dict[str, str]:
    """Digests of the initial weights and of the first batch.

    Args:
        student: Not trained yet.
        batches: What it will be trained on.

    Example:

    >>> of(student, data)
    {'initial_weights': '9c1f...', 'first_batch': '03ab...'}
    """
    x, labels = next(iter(batches.train_from(0)))
    return {
        "initial_weights": _digest(map(np.asarray, student.weights)),
        "first_batch": _digest([np.asarray(images_of(x)), np.asarray(labels)]),
    }


def check_same(plan: Plan, seed: int, began: dict[str, str]) -> None:
    """Compares with the trained students of the same seed.

    Raises:
        InputError: One of them began with something else: a file was changed
            since then, or the data were.
    """
    for path in sorted(plan.path.glob(f"*-seed{seed}/{RUN_FILE}")):
        phases = artifacts.read_json(path, sealed=True)["phases"]
        known = phases.get("student", {}).get("result", {})
        for name, (argument, other) in _NAMES.items():
            if known.get(name, began[name]) != began[name]:
                raise InputError(
                    argument,
                    f"{other} than {path.parent.name} began with",
                    "the same for all methods of a seed",
                    "Bring back the student's file, the teacher's and the "
                    "images as they were, or use another run_dir.",
                )


def test_images(data: ImageData) -> str:
    """A digest of the first test batch, as the networks see it, and sizes."""
    x, labels = next(iter(data.test))
    sizes = np.array(sorted(data.sizes.items()))
    return _digest([np.asarray(images_of(x)), np.asarray(labels), sizes])


def _digest(arrays: Iterable[np.ndarray]) -> str:
    found = hashlib.sha256()
    for array in arrays:
        found.update(np.ascontiguousarray(array).tobytes())
    return found.hexdigest()
