"""The base class of all distillation terms, and maps of different sizes."""

from typing import Any

import keras
from keras import ops

from keras_ft.errors import InputError
from keras_ft.features.taps import Tap
from keras_ft.features.taps import find_tap
from keras_ft.validation.models import output_shape
from keras_ft.validation.parameters import Interval

_BETA = Interval(
    float,
    0,
    fix="Use 500.0, the official weight for factors of 32x8x8 entries; 0 turns "
    "the term off.",
)


@keras.saving.register_keras_serializable(package="keras_ft")
class Transfer(keras.layers.Layer):
    """Compare the teacher with the student: one distillation term.

    Subclass it, implement `call(teacher, student)` and hand an instance to
    `Distiller`; nothing needs to be registered. (To have it as a `--method` of
    the commands as well, see `keras_ft.methods`.) The base does the plumbing:
    which tensors arrive, and the weight `beta`.

    - `call(teacher, student)` receives the two tapped feature maps, or the
      two models' outputs when the class sets `source = "outputs"`, or with
      `source = "logits"` what these are before a last softmax or sigmoid, and
      returns one float32 loss per example: shape (batch,).
    - `build(teacher_shape, student_shape)` creates weights, if any. They
      train with the student and are never exported.
    - `frozen_layers` names the sublayers that must not train.

    Args:
        beta: Multiplier of this term in the total loss, finite, at least 0.
            Kept in a variable: assign to `beta` to change it while training
            (on JAX between epochs, or after `model.jax_state_sync()`).
        teacher_layer_name: Tap in the teacher; None means its last learned
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
        _BETA.check("beta", beta)
        # Autocasting would round float32 logits to a mixed policy's float16.
        super().__init__(name=name or self.term, autocast=False, **kwargs)
        self.teacher_layer_name = teacher_layer_name
        self.student_layer_name = student_layer_name
        # A Python number would be frozen into the traced step.
        self._beta = self.add_weight(
            name="beta",
            shape=(),
            initializer=keras.initializers.Constant(float(beta)),
            dtype="float32",
            trainable=False,
        )

    @property
    def beta(self) -> Any:
        """Return the weight of this term, a scalar variable."""
        return self._beta

    @beta.setter
    def beta(self, value: float) -> None:
        _BETA.check("beta", value)
        self._beta.assign(float(value))

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        """Create weights for maps (batch, H, W, C) or for two outputs."""
        super().build((teacher_shape, student_shape))

    def call(self, teacher: Any, student: Any) -> Any:
        """Return one loss per example; subclasses implement it."""
        raise NotImplementedError(
            f"{type(self).__name__} must implement call(teacher, student)."
        )

    @property
    def frozen_layers(self) -> list[keras.layers.Layer]:
        """Sublayers whose weights this term uses but never trains."""
        return []

    def find_taps(
        self, teacher: keras.Model, student: keras.Model
    ) -> tuple[Tap, Tap] | None:
        """Return the two taps to compare; None where outputs are compared.

        Raises:
            InputError: There is no such layer, or the term cannot compare
                these models.
        """
        self.check_models(teacher, student)
        if self.source != "features":
            return None
        return (
            find_tap(teacher, self.teacher_layer_name, "teacher_layer_name"),
            find_tap(student, self.student_layer_name, "student_layer_name"),
        )

    def connect(self, teacher: keras.Model, student: keras.Model) -> None:
        """Create the weights for two models; refuse as `find_taps`."""
        taps = self.find_taps(teacher, student)
        if self.built:
            return
        if taps is None:
            self.build(output_shape(teacher), output_shape(student))
        else:
            self.build(*((None, *tap.shape) for tap in taps))

    def check_models(self, teacher: keras.Model, student: keras.Model) -> None:
        """Refuse models this term cannot compare, at construction."""

    def use_loss(self, loss: Any) -> None:
        """Take notice of the loss that the student is compiled with."""

    def check_ready(self) -> None:
        """Refuse to train before its requirements are met; `fit` asks."""

    def check_teacher(self, teacher: keras.Model) -> None:
        """Refuse a teacher that it was not prepared for; `fit` asks."""

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "beta": float(ops.convert_to_numpy(self._beta)),
            "teacher_layer_name": self.teacher_layer_name,
            "student_layer_name": self.student_layer_name,
        }


def common_size(
    teacher_shape: tuple[int | None, ...], student_shape: tuple[int | None, ...]
) -> tuple[int | None, ...]:
    """Return the smaller height and width of two feature maps.

    The larger map is pooled down to the smaller one by adaptive average
    pooling, as RepDistiller does; nothing is ever interpolated up, which would
    invent detail to imitate.

    Args:
        teacher_shape: (batch, height, width, channels).
        student_shape: The same.

    Raises:
        InputError: A size is unknown, so that they cannot be compared, or the
            maps are so different that each is larger in one direction.
    """
    # Keras hands in lists when it loads a file.
    teacher, student = tuple(teacher_shape[1:3]), tuple(student_shape[1:3])
    if teacher == student:
        return teacher
    sizes = f"teacher {teacher}, student {student} (height, width)"
    if None in teacher or None in student:
        raise InputError(
            f"The feature maps' sizes are not known in advance: {sizes}. Give "
            "both models a fixed input size: keras.Input((H, W, C))."
        )
    smaller = tuple(map(min, teacher, student))  # type: ignore[arg-type]
    if smaller not in (teacher, student):
        raise InputError(
            f"Each feature map is larger in one direction: {sizes}. Tap other "
            "layers; keras_ft.taps(model) prints the sizes."
        )
    return smaller


def pool_to(features: Any, size: tuple[int | None, ...]) -> Any:
    """Average-pool (batch, H, W, C) to a `common_size` where it is larger."""
    # Where a size is free, both maps are of one size.
    if None in size or tuple(features.shape[1:3]) == tuple(size):
        return features
    return ops.adaptive_average_pool(
        features, size, data_format="channels_last"
    )
