"""What a compressed student is taught: its labels and its teacher's terms."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import keras

from keras_ft import losses
from keras_ft.acceleration.acceleration import Acceleration
from keras_ft.errors import InputError
from keras_ft.models.distiller import Distiller
from keras_ft.models.teacher_pass import TeacherPass
from keras_ft.validation.data import check_data
from keras_ft.validation.data import element_shapes
from keras_ft.validation.labels import check_labels_fit
from keras_ft.validation.labels import is_sparse
from keras_ft.validation.models import check_finite


class Lesson:
    """The loss of a distiller, for features of any copy of its student.

    `loss = task_weight * task loss + sum(beta_i * term_i)`, with the Keras 3
    teacher and transfers of the distiller. A student alone has the task loss.

    Args:
        model: A `Distiller`, or a student. Its compiled loss is the task loss;
            without one it is the cross-entropy of logits.
        train: The dataset of (x, y) it will be taught with.

    Attributes:
        student: The Keras 3 student.
        loss: The task loss.
        taps: Names of the student's layers whose features are compared.
        variables: Weights of the transfers that train with the student.

    Example:

    >>> lesson = Lesson(factor_transfer, data.train)
    >>> parts = lesson(x, y, None, features, outputs)
    >>> sorted(parts)
    ['factor_loss', 'loss', 'task_loss']
    """

    def __init__(self, model: keras.Model, train: Any) -> None:
        distils = isinstance(model, Distiller)
        self.student = model.student if distils else model
        self.loss = model.loss or _default_loss(train)
        self._transfers = list(model.transfers) if distils else []
        self._task_weight = model.task_weight if distils else 1.0
        self.taps: list[str] = []
        self.variables: list[Any] = []
        self._teacher_pass: TeacherPass | None = None
        if self._transfers:
            self._follow(model)

    @property
    def parts(self) -> list[str]:
        """Names of what is returned for a batch."""
        distilled = [f"{transfer.name}_loss" for transfer in self._transfers]
        return ["loss", "task_loss", *distilled]

    def _follow(self, model: Distiller) -> None:
        tapping = [t for t in self._transfers if t.source == "features"]
        found = [t.find_taps(model.teacher, self.student) for t in tapping]
        self.taps = [tap.name for _, tap in found]
        frozen = {id(variable) for variable in model.frozen_variables}
        self.variables = [
            variable.value
            for transfer in self._transfers
            for variable in transfer.trainable_variables
            if id(variable) not in frozen
        ]
        # Its own, so that the caller's stays as it is.
        self._teacher_pass = TeacherPass(
            model.teacher,
            [tap for tap, _ in found],
            outputs=len(tapping) < len(self._transfers),
        )
        choice = model.acceleration
        Acceleration(choice, self._teacher_pass).prepare(model, strategy=None)

    def check(self, data: Any) -> None:
        """Refuses data that does not fit the models, before any step.

        Raises:
            InputError: Missing, empty or misshapen images or labels; a term
                that is not ready.
        """
        if isinstance(self.loss, list | dict):
            raise InputError(
                "model",
                f"one compiled with a {type(self.loss).__name__} of losses",
                "one loss",
                "Compile it with the loss of its classes alone.",
            )
        check_data(self.student, data)
        check_labels_fit(self.student, self.loss, data, None)
        check_finite("model", self.student)
        if self._teacher_pass is not None:
            check_finite("teacher", self._teacher_pass.teacher)
            self._teacher_pass.check(data)
        for transfer in self._transfers:
            transfer.check_ready()

    def compile(self, network: Any) -> None:
        """Lets a `tf_keras` network `evaluate` itself by itself."""
        import tf_keras

        sparse = is_sparse(self.loss)
        loss = None
        if sparse is not None:
            kind = "Sparse" if sparse else ""
            entropy = getattr(tf_keras.losses, f"{kind}CategoricalCrossentropy")
            logits = bool(getattr(self.loss, "from_logits", False))
            loss = entropy(from_logits=logits)
        network.compile(loss=loss, metrics=["accuracy"])

    def task_loss(self, y: Any, outputs: Any, sample_weight: Any) -> Any:
        """The mean loss of outputs on labels, weighted."""
        loss = keras.losses.get(self.loss)
        if isinstance(loss, keras.losses.Loss):
            return loss(y, outputs, sample_weight)
        return losses.batch_mean(loss(y, outputs), sample_weight)

    def __call__(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        features: list[Any],
        outputs: Any,
    ) -> dict[str, Any]:
        """The loss and its parts; gradients reach features and variables."""
        task = self.task_loss(y, outputs, sample_weight)
        total, parts = self._task_weight * task, {"task_loss": task}
        if self._teacher_pass is not None:
            teacher_features, teacher_outputs = self._teacher_pass(x)
            pairs = zip(teacher_features, features, strict=True)
        for transfer in self._transfers:
            if transfer.source == "features":
                teacher, student = next(pairs)
            else:
                teacher, student = teacher_outputs, outputs
            values = transfer(teacher, student, training=True)
            term = losses.batch_mean(values, sample_weight)
            parts[f"{transfer.name}_loss"] = term
            total = total + transfer.beta * term
        return {"loss": total, **parts}

    @contextmanager
    def borrowed(self) -> Iterator[None]:
        """Trains the caller's transfers within it, and gives them back."""
        variables = [v for t in self._transfers for v in t.variables]
        before = [keras.ops.convert_to_numpy(v.value) for v in variables]
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)


def _default_loss(train: Any) -> keras.losses.Loss:
    """Cross-entropy for class indices, or for one row per example."""
    _, labels = element_shapes(train, None)
    one_hot = labels is not None and len(labels) == 2 and labels[1] != 1
    kind = (
        keras.losses.CategoricalCrossentropy
        if one_hot
        else keras.losses.SparseCategoricalCrossentropy
    )
    return kind(from_logits=True)
