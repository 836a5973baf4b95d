"""Phase 2: the student learns from the labels and from the teacher."""

from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_ft import heads
from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.features.extraction import feature_function
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.models.frozen_teacher import in_step
from keras_ft.models.frozen_teacher import is_in_step
from keras_ft.models.teacher_pass import images_of
from keras_ft.transfers.transfer import Transfer
from keras_ft.validation.in_graph import guard_batch
from keras_ft.validation.labels import check_labels_fit
from keras_ft.validation.labels import ignored
from keras_ft.validation.labels import known_labels
from keras_ft.validation.models import check_finite
from keras_ft.validation.models import check_pair
from keras_ft.validation.models import input_shape
from keras_ft.validation.parameters import Interval

_TASK_WEIGHT = Interval(float, 0, fix="Use 1.0, the student's own loss.")


@keras.saving.register_keras_serializable(package="keras_ft")
class Distiller(FrozenTeacherModel):
    """Train a student on labels and any number of distillation terms.

    `loss = task_weight * compiled loss + sum(beta_i * term_i) + regularizers`

    The compiled loss is the student's own, whatever its task: one output or
    several, a class per image or per pixel.

    Images without a label take part in every term but the compiled loss.
    Give them the label -1 and compile
    `SparseCategoricalCrossentropy(from_logits=True, ignore_class=-1)`: the
    compiled loss is then a mean over the labelled images of a batch, and
    metrics that are means, as accuracy, count those alone. For a
    `CategoricalCrossentropy` a row of zeros is no label. Without any labels,
    `compile(optimizer)` without a loss and `fit(images)`.

    One teacher forward and one student forward per step; gradients reach the
    student and the transfers' own weights only. `predict`, `evaluate` and
    calling the model speak of the student. `student` stays the caller's own
    plain Keras model: save, export or deploy it by itself.

    Args:
        teacher: A trained Functional or Sequential model. It is frozen here
            whatever its `trainable` flag says, which is left alone.
        student: A built model. It must be Functional or Sequential when a
            transfer taps its features.
        transfers: The distillation terms, applied together.
        task_weight: Weight of the compiled loss, at least 0.
        name: Model name.
        acceleration: `"none"`, Keras' own path; or `"auto"`, where TensorFlow
            runs on processors: the teacher is folded for inference, in
            bfloat16 where the processor gains from it (its outputs keep a
            cosine of at least 0.9995) or else in float32 (they agree to 1e-4),
            and the student's batch normalization is computed by TensorFlow's
            fused kernel where that is faster. The models stay what they are. A
            teacher whose weights change is noticed by `fit` and `evaluate`.

    In a loop of your own `compute_loss(x, y)` is the whole loss, inside of a
    `tf.GradientTape` or a stateless scope; see there.

    Logged beside `loss` and the compiled metrics: `task_loss`,
    `<term>_loss` for each transfer (without its beta), `regularization_loss`.
    All are means over examples, weighted as Keras weighs its own loss.
    `val_loss` contains `beta * term`: compare runs by `val_accuracy` or
    `val_task_loss`.

    Under a `tf.distribute.MirroredStrategy` make everything within its scope:
    training equals one device's. Batch normalization and `clipnorm` see one
    replica's share, as always in Keras; `synchronized=True` cures the former.

    Raises:
        InputError: Models or transfers that do not fit together, at
            construction; bad data, before the first update.

    Example:

    >>> model = keras_ft.Distiller(
    ...     teacher,
    ...     student,
    ...     [
    ...         keras_ft.transfers.FactorMatch(paraphraser, beta=500.0),
    ...         keras_ft.transfers.SoftTargets(temperature=4.0, beta=0.9),
    ...     ],
    ... )
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", loss)
    >>> history = model.fit(images, labels, epochs=10)
    """

    def __init__(
        self,
        teacher: keras.Model,
        student: keras.Model,
        transfers: Sequence[Transfer],
        task_weight: float = 1.0,
        name: str | None = None,
        acceleration: str = "auto",
    ) -> None:
        _TASK_WEIGHT.check("task_weight", task_weight)
        check_pair(teacher, student)
        transfers = list(transfers)
        _check_transfers(transfers)
        # All are checked before the weights of any are made.
        taps = [
            taps
            for transfer in transfers
            if (taps := transfer.find_taps(teacher, student)) is not None
        ]
        super().__init__(
            teacher,
            [tap for tap, _ in taps],
            outputs=any(t.source != "features" for t in transfers),
            acceleration=acceleration,
            # Loss scaling of mixed_float16 follows the wrapper's policy.
            dtype=student.dtype_policy,
            name=name,
        )
        self.student = student
        # A last softmax or sigmoid is taken off for terms on logits alone:
        # a student that nothing asks for them may have no graph.
        self._gives_logits = bool(
            any(t.source == "logits" for t in transfers)
            and heads.output_activation(student)
        )
        network = student
        if self._gives_logits:
            network = heads.logits_and_outputs(student)
        self._run_student = feature_function(network, [tap for _, tap in taps])
        self.transfers = transfers
        self.task_weight = float(task_weight)
        for transfer in transfers:
            transfer.connect(teacher, student)
        distilled = [f"{transfer.name}_loss" for transfer in transfers]
        self._trackers = {
            name: keras.metrics.Mean(name=name)
            for name in ("task_loss", *distilled, "regularization_loss")
        }
        self.build(input_shape(student))

    @property
    def output_names(self) -> list[str] | None:
        """Return the student's output names, for losses and metrics."""
        return getattr(self.student, "output_names", None)

    def _given_layers(self) -> Iterator[tuple[str, keras.layers.Layer]]:
        yield from super()._given_layers()
        yield "student", self.student
        for index, transfer in enumerate(self.transfers):
            for name, value in vars(transfer).items():
                if isinstance(value, keras.layers.Layer):
                    yield f"transfers[{index}].{name}", value

    def call(self, x: Any, training: bool | None = None) -> Any:
        """Return the student's outputs."""
        images = images_of(x)
        if not is_in_step():
            return self.student(images, training=training)
        teacher_features, teacher_outputs = self.run_teacher(x)
        student_features, outputs = self._run_student(images, training)
        logits = outputs
        if self._gives_logits:
            logits, outputs = outputs["logits"], outputs["outputs"]
        pairs = zip(teacher_features, student_features, strict=True)
        values = {}
        for transfer in self.transfers:
            transfer.use_loss(getattr(self, "loss", None))
            if transfer.source == "features":
                teacher, student = next(pairs)
            elif transfer.source == "logits":
                teacher, student = teacher_outputs, logits
            else:
                teacher = self._teacher_pass.activated(teacher_outputs)
                student = outputs
            values[transfer.name] = transfer(
                teacher, student, training=training
            )
        return {"outputs": outputs, "terms": values}

    def outputs_and_terms(
        self, x: Any, training: bool = False
    ) -> tuple[Any, dict[str, Any]]:
        """Return the student's outputs and each term, for a batch.

        Args:
            x: Images, or a cached batch.
            training: Whether the student runs as in training.

        Returns:
            The outputs, and by the transfers' names one float32 number per
            image, without its beta.
        """
        with in_step():
            return _split(self(x, training=training))

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        """Return the total loss, for `fit` and for a loop of your own.

        Each part goes to its tracker on the way.

        Args:
            x: Images, or a cached batch.
            y: Their labels, where a loss is compiled.
            y_pred: Leave it out: teacher and student then run here. Keras'
                own steps hand in what their forward pass gave.
            sample_weight: A weight for each image, if any.
            training: Whether the student runs as in training.

        Raises:
            InputError: `y_pred` is what `model(x)` returns: the student's
                outputs, of which no distillation term can be computed.

        Example:

        >>> import tensorflow as tf
        >>> model.compile("sgd", loss)
        >>> optimizer = keras.optimizers.Adam()
        >>> with tf.GradientTape() as tape:
        ...     total = model.compute_loss(images, labels)
        >>> weights = model.trainable_variables
        >>> optimizer.apply(tape.gradient(total, weights), weights)
        """
        if y_pred is None:
            with in_step():
                y_pred = self(x, training=training)
        outputs, values = _split(y_pred)
        # Keras' symbolic pass over a model, without training, hands these in.
        if self.transfers and not values and training:
            raise InputError(
                "y_pred",
                "the student's outputs alone, as model(x) returns them",
                "None, so that teacher and student run within",
                "Call model.compute_loss(x, y) inside of the GradientTape: it "
                "returns the labels' loss and every distillation term.",
            )
        regularization = sum(
            (self._aggregate_additional_loss(loss) for loss in self.losses),
            start=ops.zeros(()),
        )
        known = known_labels(y, self.loss)
        total = self._task_loss(x, y, outputs, sample_weight, training, known)
        task = total - regularization
        parts = {"task_loss": task}
        # In validation workers may have unlike numbers of batches, and one
        # that waits for the other's counts would wait for ever.
        if known is not None and training and losses.replicas() > 1:
            task = task * losses.share_of_all(known)
            total = task + regularization
        if self.task_weight != 1.0:
            total = self.task_weight * task + regularization
        for transfer in self.transfers if values else ():
            term = losses.batch_mean(values[transfer.name], sample_weight)
            parts[f"{transfer.name}_loss"] = term
            total = total + ops.cast(transfer.beta * term, total.dtype)
        parts["regularization_loss"] = regularization
        self._track(parts, outputs, known)
        return total

    def _task_loss(
        self,
        x: Any,
        y: Any,
        outputs: Any,
        sample_weight: Any,
        training: bool,
        known: Any,
    ) -> Any:
        """Return the loss of the student alone, regularizers included."""
        if self.loss is None and not self.losses:
            return ops.zeros(())
        # `ignore_class` does by itself what the mask does for rows of zeros.
        if known is not None and ignored(self.loss) is None:
            outputs = losses.with_mask(outputs, known)
        return super().compute_loss(
            x=x,
            y=y,
            y_pred=outputs,
            sample_weight=sample_weight,
            training=training,
        )

    def _track(self, parts: dict[str, Any], outputs: Any, known: Any) -> None:
        batch = ops.shape(keras.tree.flatten(outputs)[0])[0]
        for name, value in parts.items():
            count = batch
            if name == "task_loss" and known is not None:
                count = ops.sum(ops.cast(known, "float32"))
            # Losses are divided by the replicas; the logs are not.
            self._trackers[name].update_state(
                value * losses.replicas(), sample_weight=count
            )

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Return the compiled metrics of the student, and the loss parts."""
        outputs, _ = _split(y_pred)
        known = known_labels(y, self.loss)
        if known is not None:
            outputs = losses.with_mask(outputs, known)
            if ignored(self.loss) is not None:
                # Even where it does not count, a label must name a class.
                y = ops.where(ops.reshape(known, ops.shape(y)), y, 0)
        return dict(super().compute_metrics(x, y, outputs, sample_weight))

    def _guarded(self, data: Any) -> Any:
        return guard_batch(data, self.loss, self.student)

    def _check_models(self) -> None:
        super()._check_models()
        for transfer in self.transfers:
            transfer.check_ready()
            transfer.check_teacher(self.teacher)
            transfer.use_loss(self.loss)
        check_finite("student", self.student)

    def _check_trainable(self) -> None:
        super()._check_trainable()
        if not self.student.trainable_variables:
            raise InputError(
                f"The student '{self.student.name}' has no trainable weights. "
                "Set student.trainable = True and call compile() again."
            )

    def _check_data(self, x: Any, y: Any) -> None:
        super()._check_data(x, y)
        check_labels_fit(self.student, self.loss, x, y)

    @property
    def frozen_variables(self) -> list[Any]:
        """Variables of the teacher and of the transfers' frozen layers."""
        return super().frozen_variables + [
            variable
            for transfer in self.transfers
            for layer in transfer.frozen_layers
            for variable in layer.variables
        ]

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            **super().get_config(),
            "student": serialize(self.student),
            "transfers": [serialize(transfer) for transfer in self.transfers],
            "task_weight": self.task_weight,
        }


def _split(y_pred: Any) -> tuple[Any, dict[str, Any]]:
    """Divide what `call` returned; a plain prediction has no terms."""
    if isinstance(y_pred, dict) and set(y_pred) == {"outputs", "terms"}:
        return y_pred["outputs"], y_pred["terms"]
    return y_pred, {}


def _check_transfers(transfers: list[Any]) -> None:
    for index, transfer in enumerate(transfers):
        if not isinstance(transfer, Transfer):
            raise InputError(
                f"transfers[{index}]",
                repr(transfer),
                "a keras_ft.transfers.Transfer",
                "Subclass Transfer and implement call(teacher, student).",
            )
    names = [transfer.name for transfer in transfers]
    if len(set(names)) < len(names):
        raise InputError(
            f"Give each transfer a different name with name=...: these are "
            f"{', '.join(names)}, and each logs '<name>_loss'."
        )
