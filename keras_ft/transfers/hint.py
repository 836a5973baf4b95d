"""FitNets' hint: the student regresses the teacher's features."""

from typing import Any

import keras

from keras_ft import losses
from keras_ft.transfers.transfer import Transfer
from keras_ft.transfers.transfer import common_size
from keras_ft.transfers.transfer import pool_to


@keras.saving.register_keras_serializable(package="keras_ft")
class Hint(Transfer):
    """Mean squared error between teacher features and a regressed student.

    A 1x1 convolution and a batch normalization map the student's channels to
    the teacher's. FitNets trains the hint first and the task afterwards; here
    both run together, the form used by later comparisons.

    Args:
        beta: Weight of the term. RepDistiller uses 100.
        batch_normalization: After the convolution, as RepDistiller has it.
            Without it, that weight and a learning rate of 0.1 can end in NaN.
            RepDistiller's ReLU behind it is left out: it could not meet
            features below zero.
        teacher_layer_name, student_layer_name, name: See `Transfer`.

    Example:

    >>> model = keras_ft.Distiller(
    ...     teacher, student, [keras_ft.transfers.Hint(beta=100.0)]
    ... )

    Reference:
        Romero et al. 2015, arXiv:1412.6550; HobbitLong/RepDistiller b84f547,
        models/util.py, ConvReg.
    """

    term = "hint"

    def __init__(
        self,
        beta: float = 100.0,
        batch_normalization: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        self.batch_normalization = batch_normalization

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        self.size = common_size(teacher_shape, student_shape)
        self.regressor = keras.layers.Conv2D(
            teacher_shape[-1], 1, dtype=self.dtype_policy
        )
        self.regressor.build((None, *self.size, student_shape[-1]))
        if self.batch_normalization:
            self.norm = keras.layers.BatchNormalization(
                momentum=0.9, epsilon=1e-5, dtype=self.dtype_policy
            )
            self.norm.build((None, *self.size, teacher_shape[-1]))
        super().build(teacher_shape, student_shape)

    def call(
        self, teacher: Any, student: Any, training: bool | None = None
    ) -> Any:
        regressed = self.regressor(pool_to(student, self.size))
        if self.batch_normalization:
            regressed = self.norm(regressed, training=training)
        return losses.reconstruction_error(
            pool_to(teacher, self.size), regressed, loss="l2"
        )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "batch_normalization": self.batch_normalization,
        }
