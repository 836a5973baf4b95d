"""Fused batch normalization in whole models, and nothing left in them."""

import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import zoo
from keras_ft.acceleration.fused_norm import candidates
from keras_ft.acceleration.fused_norm import fused

BatchNormalization = keras.layers.BatchNormalization


def kernels(function):
    """How many layers of a traced step are fused: what TensorFlow runs."""
    operations = function.graph.get_operations()
    return sum(o.type == "FusedBatchNormV3" for o in operations)


class Subclass(BatchNormalization):
    """A user's own batch normalization."""


def mixed_network():
    """A model with two layers to fuse, one of them nested, that has run."""
    model = _mixed_network()
    traced(model, fuse=False)  # Keras notes a few things at the first call
    return model


def _mixed_network():
    image = keras.Input((6, 6, 3))
    x = BatchNormalization(name="plain")(image)
    x = Subclass(name="subclass")(x)
    x = BatchNormalization(synchronized=True, name="synchronized")(x)
    inner = keras.Sequential(
        [keras.Input((6, 6, 3)), BatchNormalization(name="nested")]
    )
    x = keras.layers.GlobalAveragePooling2D()(inner(x))
    return keras.Model(image, keras.layers.Dense(2)(x))


def traced(model, fuse, exception=None):
    """The graph of a forward pass in training mode."""

    def forward(x):
        with fused(model) if fuse else contextlib.nullcontext():
            if exception is not None:
                raise exception
            return model(x, training=True)

    shape = (2, *model.input_shape[1:])
    specification = tf.TensorSpec(shape, "float32")
    function = tf.function(forward, autograph=False)
    return function.get_concrete_function(specification)


def attributes(model):
    """Everything that hangs on the layers, by identity."""
    return [
        {key: id(value) for key, value in vars(layer).items()}
        for layer in model._flatten_layers()
    ]


def test_only_plain_layers_of_a_model_are_fused():
    model = mixed_network()
    assert [c.name for c in candidates(model)] == ["plain", "nested"]
    assert kernels(traced(model, fuse=True)) == 2
    assert kernels(traced(model, fuse=False)) == 0


def test_nothing_is_left_after_an_error():
    model = mixed_network()
    before = attributes(model)
    with pytest.raises(KeyError, match="stop"):
        traced(model, fuse=True, exception=KeyError("stop"))
    assert attributes(model) == before
    assert kernels(traced(model, fuse=False)) == 0


def test_it_can_be_entered_twice():
    model = mixed_network()
    before = attributes(model)
    with fused(model):
        with fused(model):
            assert kernels(traced(model, fuse=False)) == 2
        assert kernels(traced(model, fuse=False)) == 2
    assert attributes(model) == before


def trained_student(fuse, images, labels):
    """A zoo student and its losses over some steps, and its state before."""
    keras.utils.set_random_seed(0)
    student = zoo.build("resnet8", 4, images.shape[2:])
    student(images[0])  # Keras notes a few things at the first call
    before = attributes(student), student.get_config()
    optimizer = keras.optimizers.SGD(0.01, momentum=0.9)
    optimizer.build(student.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step(x, y):
        with tf.GradientTape() as tape:
            with fused(student) if fuse else contextlib.nullcontext():
                outputs = student(x, training=True)
            value = loss(y, outputs)
        variables = student.trainable_variables
        optimizer.apply(tape.gradient(value, variables))
        return value

    losses = [float(step(*batch)) for batch in zip(images, labels, strict=True)]
    return student, losses, before


def test_training_equals_keras_and_the_student_stays_plain(tmp_path):
    rng = np.random.default_rng(3)
    images = rng.normal(size=(20, 16, 28, 28, 3)).astype("float32")
    labels = rng.integers(0, 4, (20, 16))
    student, losses, before = trained_student(True, images, labels)
    assert (attributes(student), student.get_config()) == before
    theirs, expected, _ = trained_student(False, images, labels)
    # A ReLU whose input changes its sign moves this curve by 2e-5. Keras' own
    # curve moves as far when its images move by one part in 2^23: found for
    # two of three seeds of the images, with the largest weight off by 5e-4.
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
    for one, other in zip(student.variables, theirs.variables, strict=True):
        np.testing.assert_allclose(one, other, atol=2e-3)
    student.save(tmp_path / "student.keras")
    loaded = keras.saving.load_model(tmp_path / "student.keras")
    assert [*map(type, loaded.layers)] == [*map(type, theirs.layers)]
    np.testing.assert_array_equal(
        loaded(images[0], training=False), student(images[0], training=False)
    )


class Residual(keras.Model):
    """A student without a graph, whose layers are built when it runs."""

    def __init__(self):
        super().__init__()
        self.conv = keras.layers.Conv2D(4, 3, padding="same")
        self.norms = [BatchNormalization() for _ in range(2)]

    def call(self, x, training=None):
        x = self.norms[0](self.conv(x), training=training)
        return x + self.norms[1](x, training=training)


def test_subclassed_students_are_fused_before_they_are_built():
    student = Residual()
    images = np.random.default_rng(4).normal(size=(4, 5, 5, 3))
    images = images.astype("float32")
    with fused(student):
        found = student(images, training=True)
    theirs = Residual()
    theirs(images)  # builds it
    theirs.set_weights(student.get_weights())
    np.testing.assert_allclose(
        found, theirs(images, training=True), rtol=1e-5, atol=1e-6
    )
    assert not np.array_equal(student.norms[1].moving_mean, np.zeros(4))
    assert not any("call" in vars(layer) for layer in student.norms)
