"""Attention transfer (AT): the student looks where the teacher looks."""

from typing import Any

import keras

from keras_ft import losses
from keras_ft.transfers.transfer import Transfer
from keras_ft.transfers.transfer import common_size
from keras_ft.transfers.transfer import pool_to


@keras.saving.register_keras_serializable(package="keras_ft")
class AttentionTransfer(Transfer):
    """Mean squared difference of unit activation maps.

    The map is the mean over channels of the squared features, so that the two
    networks may differ in channels. Use one instance per tapped pair; the
    paper sums over the last layers of all residual groups.

    Args:
        beta: Weight of the term. 1000 is the published default.
        teacher_layer_name, student_layer_name, name: See `Transfer`.

    Example:

    >>> transfers = [
    ...     keras_ft.transfers.AttentionTransfer(
    ...         teacher_layer_name=stage, student_layer_name=stage, name=stage
    ...     )
    ...     for stage in ("stage1", "stage2", "stage3")
    ... ]
    >>> model = keras_ft.Distiller(teacher, student, transfers)

    Reference:
        Zagoruyko and Komodakis 2017, arXiv:1612.03928;
        szagoruyko/attention-transfer.
    """

    term = "attention"

    def __init__(self, beta: float = 1000.0, **kwargs: Any) -> None:
        super().__init__(beta=beta, **kwargs)

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        self.size = common_size(teacher_shape, student_shape)
        super().build(teacher_shape, student_shape)

    def call(self, teacher: Any, student: Any) -> Any:
        return losses.attention_distance(
            pool_to(teacher, self.size),
            pool_to(student, self.size),
        )
