"""One training of a tf_keras network beside a Keras 3 teacher."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.compression.lesson import Lesson
from keras_ft.models.teacher_pass import images_of
from keras_ft.validation import guards
from keras_ft.validation import preflight

# tfmot's names for the layers it wraps.
_PREFIXES = ("", "quant_", "prune_low_magnitude_", "cluster_")


def fine_tune(
    network: Any,
    lesson: Lesson,
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
    """Train a network, wrapped by tfmot or not, on a lesson.

    Adam, with a learning rate that falls to zero along a half cosine.

    Args:
        network: The `tf_keras` network; it is trained.
        lesson: Its loss.
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

    Example:

    >>> fine_tune(
    ...     network, lesson, train, epochs=1, steps=40, learning_rate=1e-3)
    """
    import tf_keras

    trainer = _trainer(network, lesson, after_step)
    rate = tf_keras.optimizers.schedules.CosineDecay(
        learning_rate, epochs * steps
    )
    optimizer = tf_keras.optimizers.Adam(rate)
    # Variables made inside the step would have it traced twice.
    optimizer.build(trainer.weights_taught)
    trainer.compile(optimizer)
    with preflight.explained_errors():
        return trainer.fit(
            train,
            epochs=epochs,
            steps_per_epoch=steps,
            validation_data=validation,
            callbacks=list(callbacks),
            verbose=verbose,
        )


def _trainer(
    network: Any, lesson: Lesson, after_step: Callable[[], None] | None
) -> Any:
    import tensorflow as tf
    import tf_keras

    layers = {layer.name: layer for layer in network.layers}
    taps = [
        layers[next(p + tap for p in _PREFIXES if p + tap in layers)].output
        for tap in lesson.taps
    ]

    class FineTuning(tf_keras.Model):
        def __init__(self) -> None:
            super().__init__()
            self.network = network
            self._watched = tf_keras.Model(
                network.inputs, [*taps, *network.outputs]
            )
            self._means = {
                name: tf_keras.metrics.Mean(name)
                for name in (*lesson.parts, "accuracy")
            }

        @property
        def weights_taught(self) -> list[Any]:
            return [*self.network.trainable_variables, *lesson.variables]

        # tfmot's wrappers need no conversion, which would take seconds.
        @tf.autograph.experimental.do_not_convert
        def train_step(self, data: Any) -> dict[str, Any]:
            x, y, sample_weight = _checked(data, lesson)
            with tf.GradientTape() as tape:
                results = self._watched(images_of(x), training=True)
                *features, outputs = tf.nest.flatten(results)
                parts = lesson(x, y, sample_weight, features, outputs)
                if self.network.losses:
                    parts["loss"] += tf.add_n(self.network.losses)
                loss = parts["loss"]
            # A step whose loss is not finite must change nothing.
            finite = guards.finite(loss, "loss")
            (start,) = guards.after([finite], [tf.ones_like(loss)])
            weights = self.weights_taught
            gradients = tape.gradient(loss, weights, output_gradients=start)
            self.optimizer.apply_gradients(
                (gradient, weight)
                for gradient, weight in zip(gradients, weights, strict=True)
                if gradient is not None
            )
            if after_step is not None:
                after_step()
            parts["accuracy"] = accuracy(y, outputs)
            return self._logged(parts, outputs)

        @tf.autograph.experimental.do_not_convert
        def test_step(self, data: Any) -> dict[str, Any]:
            x, y, sample_weight = _checked(data, lesson)
            outputs = self.network(images_of(x), training=False)
            loss = lesson.task_loss(y, outputs, sample_weight)
            parts = {"task_loss": loss, "accuracy": accuracy(y, outputs)}
            return self._logged(parts, outputs)

        def _logged(
            self, parts: dict[str, Any], outputs: Any
        ) -> dict[str, Any]:
            count = tf.shape(outputs)[0]
            for name, value in parts.items():
                self._means[name].update_state(value, count)
            return {name: self._means[name].result() for name in parts}

        @property
        def metrics(self) -> list[Any]:
            return list(self._means.values())

    return FineTuning()


def _checked(data: Any, lesson: Lesson) -> Any:
    checked = guards.checked_batch(data, lesson.loss, lesson.student)
    return keras.utils.unpack_x_y_sample_weight(checked)


def accuracy(y: Any, outputs: Any) -> Any:
    """Share, 0..1, of the outputs whose largest is the label's class."""
    import tensorflow as tf

    classes = tf.argmax(outputs, axis=-1)
    if y.shape.rank == 2 and y.shape[1] == outputs.shape[1]:
        y = tf.argmax(y, axis=-1)
    truth = tf.cast(tf.reshape(y, [-1]), classes.dtype)
    return tf.reduce_mean(tf.cast(classes == truth, tf.float32))
