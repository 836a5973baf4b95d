"""FitNets' hint: the student regresses the teacher's features."""

from typing import Any

import keras

from keras_ft import losses
from keras_ft.transfers import spatial
from keras_ft.transfers.transfer import Transfer


@keras.saving.register_keras_serializable(package="keras_ft")
class Hint(Transfer):
    """Mean squared error between teacher features and a regressed student.

    A 1x1 convolution maps the student's channels to the teacher's. FitNets
    trains the hint first and the task afterwards; here both run together, the
    form used by later comparisons.

    Args:
        beta: Weight of the term. RepDistiller uses 100.
        teacher_layer_name, student_layer_name, name: See `Transfer`.

    Example:

    >>> model = keras_ft.Distiller(
    ...     teacher, student, [keras_ft.transfers.Hint(beta=100.0)]
    ... )

    Reference:
        Romero et al. 2015, arXiv:1412.6550; HobbitLong/RepDistiller.
    """

    term = "hint"

    def __init__(self, beta: float = 100.0, **kwargs: Any) -> None:
        super().__init__(beta=beta, **kwargs)

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        self.size = spatial.common_size(teacher_shape, student_shape)
        self.regressor = keras.layers.Conv2D(
            teacher_shape[-1], 1, dtype=self.dtype_policy
        )
        self.regressor.build((None, *self.size, student_shape[-1]))
        super().build(teacher_shape, student_shape)

    def call(self, teacher: Any, student: Any) -> Any:
        return losses.reconstruction_error(
            spatial.pool_to(teacher, self.size),
            self.regressor(spatial.pool_to(student, self.size)),
            loss="l2",
        )
