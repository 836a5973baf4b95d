"""Knowledge distillation (KD): the student imitates softened outputs."""

from typing import Any

import keras

from keras_ft import heads
from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.transfers.transfer import Transfer
from keras_ft.validation.labels import is_binary
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

_TEMPERATURE = Interval(
    float,
    0,
    closed="neither",
    fix="Use 4.0; 1.0 leaves the outputs as they are.",
)
_ACTIVATION = OneOf(
    heads.ACTIVATIONS,
    optional=True,
    fix="Leave it out; the models and the compiled loss tell.",
)


@keras.saving.register_keras_serializable(package="keras_ft")
class SoftTargets(Transfer):
    """`T^2 * KL(softmax(teacher/T) || softmax(student/T))`.

    Where the outputs are labels of their own, one or several, each a yes or
    no, it is `T^2 * KL(sigmoid(teacher/T) || sigmoid(student/T))`, see
    `losses.bernoulli_divergence`. A softmax over one output would always be 1.

    Both models may return logits or end in a softmax or sigmoid, which is
    taken off for the comparison: the logits are what is compared, and the
    models stay as they are. The classic mixture with alpha = 0.9 is
    `SoftTargets(beta=0.9)` in a `Distiller` with `task_weight=0.1`. With
    `standardize` both sides' logits become z-scores over the classes first,
    see `losses.standardized_logits`; published for it is
    `SoftTargets(temperature=2.0, beta=9.0, standardize=True)` with
    `task_weight=0.1`. The factor T^2 is there in both.

    Args:
        temperature: T, a finite number above 0.
        beta: Weight of the term.
        standardize: Whether to compare z-scores of the logits.
        activation: What makes probabilities of the logits: `"softmax"` for
            classes of which one is right, `"sigmoid"` for labels of their
            own. None takes what the models end in; where both return logits,
            `"sigmoid"` for one output and for a compiled
            `BinaryCrossentropy`, else `"softmax"`.
        name: See `Transfer`.

    Raises:
        InputError: The temperature is out of range, the outputs differ in
            shape, a model has several outputs or a softmax over one, the two
            end in different activations, or `standardize` with a sigmoid.

    Example:

    >>> kd = keras_ft.transfers.SoftTargets(temperature=4.0, beta=0.9)
    >>> model = keras_ft.Distiller(teacher, student, [kd], task_weight=0.1)

    References:
        Hinton, Vinyals and Dean 2015, arXiv:1503.02531. `standardize`: Sun,
        Ren, Li, Wang and Cao 2024, arXiv:2403.01427; the weights are those of
        sunshangquan/logit-standardization-KD f6e5aa5 for CIFAR-100. Several
        labels: Yang et al. 2023, arXiv:2308.06453.
    """

    source = "logits"
    term = "soft_target"

    def __init__(
        self,
        temperature: float = 4.0,
        beta: float = 1.0,
        standardize: bool = False,
        activation: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(beta=beta, **kwargs)
        _TEMPERATURE.check("temperature", temperature)
        _ACTIVATION.check("activation", activation)
        self.activation = activation
        # What the models end in, and whether the loss is binary, once known.
        self._models_activation: str | None = None
        self._loss_is_binary = False
        self._outputs: int | None = None
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
        self._outputs = student_shape[-1]
        self._check_activation()
        super().build(teacher_shape, student_shape)

    @property
    def compared(self) -> str:
        """Return `"softmax"` or `"sigmoid"`, what is compared."""
        given = self.activation or self._models_activation
        one = self._outputs == 1 or self._loss_is_binary
        return given or ("sigmoid" if one else "softmax")

    def use_loss(self, loss: Any) -> None:
        self._loss_is_binary = is_binary(loss)
        self._check_activation()

    def _check_activation(self) -> None:
        if self.compared == "softmax" and self._outputs == 1:
            raise InputError(
                "activation",
                "a softmax over one output, which is always 1",
                "a sigmoid for one output, or a softmax over two and more",
                'Build the models with Dense(1), activation="sigmoid" or none.',
            )
        if self.compared == "sigmoid":
            self.check_binary()

    def check_binary(self) -> None:
        """Refuse what has no meaning for labels that are a yes or no each."""
        if self.standardize:
            raise InputError(
                "standardize",
                "True for outputs that are a yes or no each",
                "classes of which one is right",
                "Leave it out: z-scores compare classes with one another, and "
                "that of one output is 0.",
            )

    def call(self, teacher: Any, student: Any) -> Any:
        if self.compared == "sigmoid":
            return losses.bernoulli_divergence(
                teacher, student, self.temperature
            )
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
            heads.logits_model(model)  # refuses what cannot be taken apart
        ends = (heads.output_activation(m) for m in (teacher, student))
        found = {name for name in (*ends, self.activation) if name}
        if len(found) > 1:
            raise InputError(
                "student",
                "a teacher and a student that end in different activations, "
                f"{' and '.join(sorted(found))}",
                "the same kind of outputs",
                "Build the student for the teacher's task; for logits give "
                "the last layer activation=None.",
            )
        self._models_activation = found.pop() if found else None

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "temperature": self.temperature,
            "standardize": self.standardize,
            "activation": self.activation,
        }
