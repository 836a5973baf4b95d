"""A small student, pictures, and its files, each converted once."""

import functools

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.export import to_tflite

SHAPE = (16, 16, 3)
CLASSES = 5
OPTIONS = {
    "int8": {"fallback": "dynamic"},
    # Four bits are hard on a network this small.
    "dynamic_wi8": {"min_agreement": 0.8},
    "dynamic_wi4": {"min_agreement": 0.8},
}


class HalfScale:
    """Pixels to -1..1, in the form `to_tflite` asks for."""

    def scale_and_shift(self):
        return np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)


@pytest.fixture(scope="session")
def normalization():
    return HalfScale()


@pytest.fixture(scope="session")
def make_student():
    """A function that builds a small network with all that is folded."""

    def make(activation=None, name="student"):
        image = keras.Input(SHAPE, name="pixels")
        x = layers.Conv2D(16, 3, padding="same", use_bias=False, name="stem")(
            image
        )
        x = layers.BatchNormalization(name="stem_norm")(x)
        x = layers.ReLU(name="stem_relu")(x)
        x = layers.Conv2D(16, 3, strides=2, padding="same", name="stage1")(x)
        x = layers.Dropout(0.5, name="dropout")(x)
        x = layers.GlobalAveragePooling2D(name="pool")(x)
        # Spread logits, as a trained network has; untrained ones nearly tie.
        x = layers.Dense(
            CLASSES,
            activation=activation,
            kernel_initializer=keras.initializers.RandomNormal(stddev=4.0),
            name="head",
        )(x)
        return keras.Model(image, x, name=name)

    return make


@pytest.fixture
def student(make_student):
    """A student that a test may change."""
    return make_student()


@pytest.fixture(scope="session")
def exported_student(make_student):
    """The student of `exported`; tests must not change it."""
    keras.utils.set_random_seed(0)
    return make_student()


@pytest.fixture(scope="session")
def images():
    """48 pictures: colored gradients of many brightnesses, uint8."""
    random = np.random.default_rng(7)
    ramp = np.linspace(0, 1, 16)[:, np.newaxis] * np.ones((1, 16))
    slopes = random.uniform(-255, 255, (48, 1, 1, 3))
    levels = random.uniform(0, 255, (48, 1, 1, 3))
    noise = random.normal(0, 20, (48, *SHAPE))
    pictures = levels + slopes * ramp[..., np.newaxis] + noise
    return np.clip(pictures, 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def assert_same_answers():
    """Asserts that a bridged model answers as the original, on random inputs.

    `to_tf_keras` compares them, too; this is what says that it does.
    """

    def compare(model, bridged):
        rng = np.random.default_rng(11)
        words = any(isinstance(x, layers.Embedding) for x in model.layers)
        inputs = [
            rng.integers(0, 20, (3, *x.shape[1:]))
            if words
            else rng.normal(size=(3, *x.shape[1:])).astype("float32")
            for x in model.inputs
        ]
        given = inputs if len(inputs) > 1 else inputs[0]
        expected = keras.tree.flatten(model(given, training=False))
        received = keras.tree.flatten(bridged(given, training=False))
        for one, other in zip(expected, received, strict=True):
            one, other = np.asarray(one), np.asarray(other)
            assert one.shape == other.shape and np.isfinite(one).all()
            bound = 1e-4 * np.abs(one).max()
            np.testing.assert_allclose(other, one, rtol=0, atol=bound)

    return compare


@pytest.fixture(scope="session")
def keras_probabilities(images):
    """A function: what a student says of the images scaled to -1..1."""

    def probabilities(student):
        logits = student(np.float32(images) / 127.5 - 1, training=False)
        return keras.ops.convert_to_numpy(keras.ops.softmax(logits))

    return probabilities


@pytest.fixture(scope="session")
def labels(exported_student, keras_probabilities):
    """Labels by which Keras is right on 36 of the 48 images."""
    found = np.argmax(keras_probabilities(exported_student), axis=-1)
    found[:12] = (found[:12] + 1) % CLASSES
    return found


@pytest.fixture(scope="session")
def exported(exported_student, images, normalization, labels, tmp_path_factory):
    """A function: the student's file in a quantization, written once."""
    folder = tmp_path_factory.mktemp("exported")

    @functools.cache
    def export(quantization):
        return to_tflite(
            exported_student,
            folder / f"{quantization}.tflite",
            quantization,
            calibration=images,
            normalization=normalization,
            labels=labels,
            **OPTIONS.get(quantization, {}),
        )

    return export
