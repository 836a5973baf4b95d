"""Batches that carry the teacher's outputs, as a feature cache gives them."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_ft.features.taps import find_tap
from keras_ft.models.distiller import Distiller
from keras_ft.models.teacher_pass import FEATURES
from keras_ft.models.teacher_pass import IMAGES
from keras_ft.models.teacher_pass import LOGITS
from keras_ft.models.teacher_pass import TeacherPass


class BatchesInMemory(keras.utils.PyDataset):
    """A few batches, each with the features and logits of a teacher.

    They train like those of a `FeatureCache` without one being built.

    Args:
        distiller: Whose teacher and tap.
        dataset: Finite; gives images and labels.

    Example:

    >>> model.fit(BatchesInMemory(model, data.train_from(0).take(8)))
    """

    def __init__(self, distiller: Distiller, dataset: Iterable[Any]) -> None:
        super().__init__()
        layer = distiller.transfers[0].teacher_layer_name
        tap = find_tap(distiller.teacher, layer, "teacher_layer_name")
        run = TeacherPass(distiller.teacher, [tap])
        self._batches = []
        for images, labels in dataset:
            (features,), logits = run(images)
            x = {
                IMAGES: images,
                FEATURES: {tap.name: features},
                LOGITS: logits,
            }
            self._batches.append((x, labels))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return self._batches[index]
