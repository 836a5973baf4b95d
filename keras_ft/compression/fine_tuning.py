"""Train a tf_keras network beside a Keras 3 teacher, with its loss."""

from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from contextlib import contextmanager
from typing import Any

import keras

from keras_ft import heads
from keras_ft import losses
from keras_ft.acceleration.acceleration import Acceleration
from keras_ft.errors import InputError
from keras_ft.models.distiller import Distiller
from keras_ft.models.teacher_pass import TeacherPass
from keras_ft.models.teacher_pass import images_of
from keras_ft.validation import labels as label_checks
from keras_ft.validation.data import check_data
from keras_ft.validation.in_graph import assert_finite
from keras_ft.validation.in_graph import explained_errors
from keras_ft.validation.in_graph import guard_batch
from keras_ft.validation.in_graph import wait_for
from keras_ft.validation.labels import check_labels_fit
from keras_ft.validation.labels import cross_entropy
from keras_ft.validation.labels import is_binary
from keras_ft.validation.labels import is_sparse
from keras_ft.validation.models import check_finite

# tfmot's names for the layers it wraps.
_PREFIXES = ("", "quant_", "prune_low_magnitude_", "cluster_")


class DistillationLoss:
    """Compute a distiller's loss for features of any copy of its student.

    `loss = task_weight * task loss + sum(beta_i * term_i)`, with the Keras 3
    teacher and transfers of the distiller. A student alone has the task loss.

    Args:
        model: A `Distiller`, or a student. Its compiled loss is the task loss;
            without one it is the cross-entropy of logits.
        train: The dataset of (x, y) it will be trained with.

    Attributes:
        student: The Keras 3 student.
        task: The loss on labels.
        activation: The softmax or sigmoid that the student ends in, or None.
            What trains ends in the logits before it.
        taps: Names of the student's layers whose features are compared.
        variables: Weights of the transfers that train with the student.
        names: Names of the loss and its parts.
    """

    def __init__(self, model: keras.Model, train: Any) -> None:
        distills = isinstance(model, Distiller)
        self.student = model.student if distills else model
        self.activation = heads.output_activation(self.student)
        self.task = model.loss or cross_entropy(train, network=self.student)
        if not model.loss and self._is_binary():
            on_logits = self.activation is None
            self.task = keras.losses.BinaryCrossentropy(from_logits=on_logits)
        self._transfers = list(model.transfers) if distills else []
        self._task_weight = model.task_weight if distills else 1.0
        self.taps: list[str] = []
        self.variables: list[Any] = []
        self.names = ["loss", "task_loss"]
        self._teacher_pass: TeacherPass | None = None
        if self._transfers:
            self._prepare_transfers(model)

    def _prepare_transfers(self, model: Distiller) -> None:
        self.names += [f"{transfer.name}_loss" for transfer in self._transfers]
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
        choice = model._acceleration.choice
        Acceleration(choice, self._teacher_pass).prepare(model, strategy=None)

    def check(self, data: Any) -> None:
        """Refuse data that does not fit the models, before any step.

        Raises:
            InputError: Missing, empty or misshapen images or labels; a term
                that is not ready.
        """
        if isinstance(self.task, list | dict):
            raise InputError(
                "model",
                f"one compiled with a {type(self.task).__name__} of losses",
                "one loss",
                "Compile it with the loss of its classes alone.",
            )
        check_data(self.student, data)
        check_labels_fit(self.student, self.task, data, None)
        check_finite("model", self.student)
        if self._teacher_pass is not None:
            check_finite("teacher", self._teacher_pass.teacher)
            self._teacher_pass.check(data)
        for transfer in self._transfers:
            transfer.check_ready()

    def _is_binary(self) -> bool:
        one = label_checks.classes(self.student) == 1
        return one or self.activation == "sigmoid" or is_binary(self.task)

    def accuracy(self, y: Any, logits: Any) -> Any:
        """Return the share, 0..1, of right answers: classes, or yes and no."""
        return _accuracy(y, logits, binary=self._is_binary())

    def task_loss(self, y: Any, logits: Any, sample_weight: Any) -> Any:
        """Return the mean loss on labels, weighted."""
        outputs = heads.activate(self.activation, logits)
        if self._is_binary() and len(y.shape) < len(outputs.shape):
            y = keras.ops.expand_dims(y, -1)  # functions do not do so
        task = keras.losses.get(self.task)
        if isinstance(task, keras.losses.Loss):
            return task(y, outputs, sample_weight)
        return losses.batch_mean(task(y, outputs), sample_weight)

    def __call__(
        self,
        x: Any,
        y: Any,
        sample_weight: Any,
        features: list[Any],
        logits: Any,
    ) -> dict[str, Any]:
        """Return the loss and its parts, by `names`."""
        task = self.task_loss(y, logits, sample_weight)
        total, parts = self._task_weight * task, {"task_loss": task}
        for transfer in self._transfers:
            transfer.use_loss(self.task)
        if self._teacher_pass is not None:
            teacher_features, teacher_outputs = self._teacher_pass(x)
            pairs = zip(teacher_features, features, strict=True)
            activated = self._teacher_pass.activated(teacher_outputs)
        for transfer in self._transfers:
            if transfer.source == "features":
                teacher, student = next(pairs)
            elif transfer.source == "logits":
                teacher, student = teacher_outputs, logits
            else:
                teacher = activated
                student = heads.activate(self.activation, logits)
            values = transfer(teacher, student, training=True)
            term = losses.batch_mean(values, sample_weight)
            parts[f"{transfer.name}_loss"] = term
            total = total + transfer.beta * term
        return {"loss": total, **parts}

    @contextmanager
    def transfers_put_back(self) -> Iterator[None]:
        """Let the transfers train, and put their weights back at the end."""
        variables = [v for t in self._transfers for v in t.variables]
        before = [keras.ops.convert_to_numpy(v.value) for v in variables]
        try:
            yield
        finally:
            for variable, value in zip(variables, before, strict=True):
                variable.assign(value)

    def compile_for_evaluation(self, network: Any) -> None:
        """Compile a `tf_keras` network with the task loss."""
        import tf_keras

        logits = bool(getattr(self.task, "from_logits", False))
        logits = logits or self.activation is not None
        sparse, task, metric = is_sparse(self.task), None, "accuracy"
        if sparse is not None:
            kind = "Sparse" if sparse else ""
            entropy = getattr(tf_keras.losses, f"{kind}CategoricalCrossentropy")
            task = entropy(from_logits=logits)
        elif is_binary(self.task):
            task = tf_keras.losses.BinaryCrossentropy(from_logits=logits)
            metric = tf_keras.metrics.BinaryAccuracy(
                "accuracy", threshold=0.0 if logits else 0.5
            )
        network.compile(loss=task, metrics=[metric])


def fine_tune(
    network: Any,
    loss: DistillationLoss,
    train: Any,
    *,
    epochs: int,
    steps: int,
    learning_rate: float,
    validation: Any = None,
    callbacks: Sequence[Any] = (),
    verbose: Any = "auto",
    after_step: Callable[[], None] | None = None,
) -> Any:
    """Train a network, wrapped by tfmot or not.

    Adam, with a learning rate that falls to zero along a half cosine.

    Args:
        network: The `tf_keras` network; it is trained.
        loss: Its loss.
        train: Dataset of (x, y) or (x, y, sample_weight) batches.
        epochs: How often the dataset is seen.
        steps: Batches per epoch.
        learning_rate: The first, and largest.
        validation: Another dataset, looked at after each epoch, or None.
        callbacks: Of `tf_keras`.
        verbose: As in Keras.
        after_step: Called in the graph after the weights are updated.

    Returns:
        Keras' `History`.

    Raises:
        InputError: An image or a loss that is not finite, or a label out of
            range; nothing was updated by that batch.
    """
    import tf_keras

    trainer = _trainer(network, loss, after_step)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        learning_rate, epochs * steps
    )
    optimizer = tf_keras.optimizers.Adam(rate)
    # Variables made inside the step would have it traced twice.
    optimizer.build(trainer.trained_weights)
    trainer.compile(optimizer)
    with explained_errors():
        return trainer.fit(
            train,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=validation,
            callbacks=list(callbacks),
            verbose=verbose,
        )


def _trainer(
    network: Any,
    loss: DistillationLoss,
    after_step: Callable[[], None] | None,
) -> Any:
    import tensorflow as tf
    import tf_keras

    layers = {layer.name: layer for layer in network.layers}
    features = [
        layers[next(p + tap for p in _PREFIXES if p + tap in layers)].output
        for tap in loss.taps
    ]

    class FineTuning(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self._with_features = tf_keras.Model(
                network.inputs, [*features, *network.outputs]
            )
            self._means = {
                name: tf_keras.metrics.Mean(name)
                for name in (*loss.names, "accuracy")
            }

        @property
        def trained_weights(self) -> list[Any]:
            return [*self.network.trainable_variables, *loss.variables]

        # tfmot's wrappers need no conversion, which would take seconds.
        @tf.autograph.experimental.do_not_convert
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y, sample_weight = self._guard(data)
            with tf.GradientTape() as tape:
                results = self._with_features(images_of(x), training=True)
                *student_features, outputs = tf.nest.flatten(results)
                parts = loss(x, y, sample_weight, student_features, outputs)
                if self.network.losses:
                    parts["loss"] += tf.add_n(self.network.losses)
                total = parts["loss"]
            # A step whose loss is not finite must change nothing.
            finite = assert_finite(total, "loss")
            (start,) = wait_for([finite], [tf.ones_like(total)])
            weights = self.trained_weights
            gradients = tape.gradient(total, weights, output_gradients=start)
            self.optimizer.apply_gradients(
                (gradient, weight)
                for gradient, weight in zip(gradients, weights, strict=True)
                if gradient is not None
            )
            if after_step is not None:
                after_step()
            parts["accuracy"] = loss.accuracy(y, outputs)
            return self._logs(parts, outputs)

        @tf.autograph.experimental.do_not_convert
        def test_step(self, data: Any) -> dict[str, Any]:
            x, y, sample_weight = self._guard(data)
            outputs = self.network(images_of(x), training=False)
            task = loss.task_loss(y, outputs, sample_weight)
            parts = {"task_loss": task, "accuracy": loss.accuracy(y, outputs)}
            return self._logs(parts, outputs)

        def _guard(self, data: Any) -> Any:
            guarded = guard_batch(data, loss.task, loss.student)
            return keras.utils.unpack_x_y_sample_weight(guarded)

        def _logs(self, parts: dict[str, Any], outputs: Any) -> dict[str, Any]:
            count = tf.shape(outputs)[0]
            for name, value in parts.items():
                self._means[name].update_state(value, count)
            return {name: self._means[name].result() for name in parts}

        @property
        def metrics(self) -> list[Any]:
            return list(self._means.values())

    return FineTuning()


def _accuracy(y: Any, outputs: Any, binary: bool) -> Any:
    """Return the share, 0..1, of outputs whose largest is the label's."""
    import tensorflow as tf

    if binary:
        truth = tf.reshape(tf.cast(y, tf.float32), tf.shape(outputs)) > 0.5
        return tf.reduce_mean(tf.cast(truth == (outputs > 0), tf.float32))
    classes = tf.argmax(outputs, axis=-1)
    if y.shape.rank == 2 and y.shape[1] == outputs.shape[1]:
        y = tf.argmax(y, axis=-1)
    truth = tf.cast(tf.reshape(y, [-1]), classes.dtype)
    return tf.reduce_mean(tf.cast(classes == truth, tf.float32))
