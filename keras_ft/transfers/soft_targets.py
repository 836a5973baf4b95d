"""Knowledge distillation (KD): the student imitates softened outputs."""

from typing import Any

import keras

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.transfers.transfer import Transfer
from keras_ft.validation.labels import ends_in_softmax
from keras_ft.validation.parameters import Interval

_TEMPERATURE = Interval(
    float,
    0,
    closed="neither",
    fix="Use 4.0; 1.0 leaves the outputs as they are.",
)


@keras.saving.register_keras_serializable(package="keras_ft")
class SoftTargets(Transfer):
    """`T^2 * KL(softmax(teacher/T) || softmax(student/T))`.

    Both models must return logits. The classic mixture with alpha = 0.9 is
    `SoftTargets(beta=0.9)` in a `Distiller` with `task_weight=0.1`. With
    `standardize` both sides' logits become z-scores over the classes first,
    see `losses.standardized_logits`; published for it is
    `SoftTargets(temperature=2.0, beta=9.0, standardize=True)` with
    `task_weight=0.1`. The factor T^2 is there in both.

    Args:
        temperature: T, a finite number above 0.
        beta: Weight of the term.
        standardize: Whether to compare z-scores of the logits.
        name: See `Transfer`.

    Raises:
        InputError: The temperature is out of range, the outputs differ in
            shape, or a model has several outputs or ends in a softmax.

    Example:

    >>> kd = keras_ft.transfers.SoftTargets(temperature=4.0, beta=0.9)
    >>> model = keras_ft.Distiller(teacher, student, [kd], task_weight=0.1)

    References:
        Hinton, Vinyals and Dean 2015, arXiv:1503.02531. `standardize`: Sun,
        Ren, Li, Wang and Cao 2024, arXiv:2403.01427; the weights are those of
        sunshangquan/logit-standardization-KD f6e5aa5 for CIFAR-100.
    """

    source = "outputs"
    term = "soft_target"

    def __init__(
        self,
        temperature: float = 4.0,
        beta: float = 1.0,
        standardize: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        _TEMPERATURE.check("temperature", temperature)
        self.temperature = float(temperature)
        self.standardize = bool(standardize)

    def build(
        self,
        teacher_shape: tuple[int | None, ...],
        student_shape: tuple[int | None, ...],
    ) -> None:
        if tuple(teacher_shape[1:]) != tuple(student_shape[1:]):
            raise InputError(
                "student",
                f"outputs of shape {tuple(student_shape[1:])}",
                f"the teacher's, {tuple(teacher_shape[1:])}",
                "Soft targets need the same classes in the same order; "
                "FactorMatch does not.",
            )
        super().build(teacher_shape, student_shape)

    def call(self, teacher: Any, student: Any) -> Any:
        if self.standardize:
            teacher = losses.standardized_logits(teacher)
            student = losses.standardized_logits(student)
        return self.divergence(teacher, student)

    def divergence(self, teacher: Any, student: Any) -> Any:
        """Return how far two outputs are apart, per example: (batch,)."""
        return losses.soft_target_divergence(teacher, student, self.temperature)

    def check_models(self, teacher: keras.Model, student: keras.Model) -> None:
        for argument, model in (("teacher", teacher), ("student", student)):
            count = len(getattr(model, "outputs", None) or [model])
            if count > 1:
                raise InputError(
                    argument,
                    f"'{model.name}', which has {count} outputs",
                    "a model with one output, its logits",
                    "FactorMatch compares features and takes any outputs.",
                )
            if ends_in_softmax(model):
                raise InputError(
                    argument,
                    f"'{model.name}', which ends in a softmax",
                    "a model that returns logits",
                    "Remove the last softmax (activation=None on the last "
                    "layer); probabilities would be softened twice.",
                )

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "standardize": self.standardize,
        }
