"""Phase 1: the paraphraser learns to reconstruct the teacher's features."""

from collections.abc import Iterator
from typing import Any

import keras
from absl import logging

from keras_ft import losses
from keras_ft.features.digests import tap_digest
from keras_ft.features.taps import find_tap
from keras_ft.layers.paraphraser import Paraphraser
from keras_ft.layers.paraphraser import feature_channels
from keras_ft.metrics import VarianceKept
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.models.frozen_teacher import is_in_step
from keras_ft.validation.models import check_model
from keras_ft.validation.models import input_shape
from keras_ft.validation.parameters import OneOf

_LOSS = OneOf(
    losses.RECONSTRUCTION_LOSSES, fix="Use 'l1', the official setting."
)


@keras.saving.register_keras_serializable(package="keras_ft")
class ParaphraserTrainer(FrozenTeacherModel):
    """Train a paraphraser on a frozen teacher's feature maps, unlabelled.

    Labels in the data are ignored, so that the same pipeline serves both
    phases. Calling the model on images returns their reconstruction errors.

    Args:
        teacher: A trained Functional or Sequential model.
        paraphraser: The `Paraphraser` to train; `fit` marks it as trained on
            this teacher after an update at least.
        teacher_layer_name: Tap in the teacher; None means its last learned
            feature map. Phase 2 must use the same.
        loss: `"l1"`, the mean absolute error of the official code, or
            `"l2"`, the mean squared error (the paper's equation divided by
            the number of entries, as RepDistiller trains it).
        name: Model name.
        acceleration: `"none"` or `"auto"`; see `Distiller`.

    Logged: `loss`, the mean reconstruction error, and `variance_kept`, the
    share of the features' variance that the reconstruction keeps: at most 1,
    which is perfect; see `metrics.VarianceKept`.

    Raises:
        InputError: The models do not fit together, at construction; bad data,
            before the first update.

    Example:

    >>> paraphraser = keras_ft.Paraphraser(rate=0.5)
    >>> phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    >>> phase1.compile(keras.optimizers.SGD(0.1, momentum=0.9))
    >>> history = phase1.fit(images, epochs=6)

    Reference:
        arXiv:1802.04977; Jangho-Kim/Factor-Transfer-pytorch.
    """

    def __init__(
        self,
        teacher: keras.Model,
        paraphraser: Paraphraser,
        teacher_layer_name: str | None = None,
        loss: str = "l1",
        name: str | None = None,
        acceleration: str = "auto",
    ) -> None:
        check_model("teacher", teacher)
        _LOSS.check("loss", loss)
        tap = find_tap(teacher, teacher_layer_name, "teacher_layer_name")
        super().__init__(
            teacher,
            [tap],
            acceleration=acceleration,
            dtype=paraphraser.dtype_policy,
            name=name,
        )
        self.paraphraser = paraphraser
        self.teacher_layer_name = teacher_layer_name
        self.reconstruction_loss = loss
        features = (None, *tap.shape)
        if not paraphraser.built:
            paraphraser.build(features)
        if paraphraser.narrowing:
            logging.warning("Paraphraser: %s.", paraphraser.narrowing)
        channels = feature_channels(features, "teacher_layer_name")
        self._variance_kept = VarianceKept(channels)
        self.build(input_shape(teacher))

    def _given_layers(self) -> Iterator[tuple[str, keras.layers.Layer]]:
        yield from super()._given_layers()
        yield "paraphraser", self.paraphraser

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return the reconstruction error per image: (batch,)."""
        (features,), _ = self.run_teacher(x)
        reconstruction = self.paraphraser.reconstruct(
            features, training=training
        )
        errors = losses.reconstruction_error(
            features, reconstruction, self.reconstruction_loss
        )
        return (errors, features, reconstruction) if is_in_step() else errors

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the mean error, plus regularizers of the paraphraser.

        In a loop of your own `compute_loss(x)` is all: without `y_pred` the
        teacher and the paraphraser run here.
        """
        del y
        if y_pred is None:
            y_pred = self(x, training=training)
        errors = y_pred[0] if isinstance(y_pred, tuple) else y_pred
        total = losses.batch_mean(errors, sample_weight)
        for loss in self.losses:
            total = total + self._aggregate_additional_loss(loss)
        return total

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return the loss and the share of the variance so far."""
        errors, features, reconstruction = y_pred
        self._variance_kept.update_state(features, reconstruction)
        return dict(super().compute_metrics(x, y, errors, sample_weight))

    def mark_trained(self) -> None:
        """Mark the paraphraser as ready for phase 2 with this teacher."""
        self.paraphraser.trained = True
        tap = find_tap(
            self.teacher, self.teacher_layer_name, "teacher_layer_name"
        )
        self.paraphraser.trained_on = tap_digest(self.teacher, tap)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "paraphraser": keras.saving.serialize_keras_object(
                self.paraphraser
            ),
            "teacher_layer_name": self.teacher_layer_name,
            "loss": self.reconstruction_loss,
        }
