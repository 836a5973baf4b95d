"""The base class of all distillation terms."""

import math
from typing import Any

import keras
from keras import ops

from keras_ft.errors import InputError


@keras.saving.register_keras_serializable(package="keras_ft")
class Transfer(keras.layers.Layer):
    """One distillation term: compares the teacher with the student.

    Subclass it, implement `call(teacher, student)` and hand an instance to
    `Distiller`; nothing needs to be registered. The base does the plumbing:
    which tensors arrive, the weight `beta`, and the fit of spatial sizes.

    - `call(teacher, student)` receives the two tapped feature maps, or the
      two models' outputs when the class sets `source = "outputs"`, and
      returns one float32 loss per example: shape (batch,).
    - `build(teacher_shape, student_shape)` creates weights, if any. They
      train with the student and are never exported.
    - `frozen_layers` names the sublayers that must not train.

    Args:
        beta: Multiplier of this term in the total loss, finite, at least 0.
            Kept in a variable: assign to `beta` to change it while training
            (on JAX between epochs, or after `model.jax_state_sync()`).
        teacher_layer_name: Tap in the teacher; None means its last spatial
            feature map.
        student_layer_name: The same for the student.
        name: Name of the term; its metric is called `<name>_loss`.

    Raises:
        InputError: `beta` is negative or not finite.

    Example:

    >>> class CosineMatch(keras_ft.transfers.Transfer):
    ...     def call(self, teacher, student):
    ...         # Keras' is negative: -1 where both point the same way.
    ...         return 1.0 + keras.losses.cosine_similarity(
    ...             keras.ops.mean(teacher, (1, 2)),
    ...             keras.ops.mean(student, (1, 2)))
    >>> model = keras_ft.Distiller(teacher, student, [CosineMatch(beta=10.0)])
    >>> model.compile("sgd", loss)
    >>> sorted(model.fit(images, labels).history)
    ['loss', 'regularization_loss', 'task_loss', 'transfer_loss']
    """

    source = "features"
    term = "transfer"

    def __init__(
        self,
        beta: float = 1.0,
        teacher_layer_name: str | None = None,
        student_layer_name: str | None = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> None:
        # Autocasting would round float32 logits to a mixed policy's float16.
        super().__init__(name=name or self.term, autocast=False, **kwargs)
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        # A Python number would be frozen into the traced step.
        self._beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(checked_beta(beta)),
            dtype="float32",
            trainable=False,
        )

    @property
    def beta(self) -> Any:
        """The weight of this term, a scalar variable."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        self._beta.assign(checked_beta(value))

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        """Creates weights for maps (batch, H, W, C) or for two outputs."""
        super().build((teacher_shape, student_shape))

    def call(self, teacher: Any, student: Any) -> Any:
        """One loss per example; subclasses implement it."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement call(teacher, student)."
        )

    @property
    def frozen_layers(self) -> list[keras.layers.Layer]:
        """Sublayers whose weights this term uses but never trains."""
        return []

    def check_models(self, teacher: keras.Model, student: keras.Model) -> None:
        """Refuses models this term cannot compare, at construction."""

    def check_ready(self) -> None:
        """Refuses to train before its requirements are met; see `fit`."""

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": float(ops.convert_to_numpy(self._beta)),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }


def checked_beta(beta: float) -> float:
    """Returns beta, or explains why it is no weight."""
    number = isinstance(beta, (int, float)) and not isinstance(beta, bool)
    if not number or not math.isfinite(beta) or beta < 0:
        raise InputError(
            "beta",
            repr(beta),
            "a finite number of at least 0",
            "Use 500.0, the official weight for factors of 32x8x8 entries; "
            "0 turns the term off.",
        )
    return float(beta)
