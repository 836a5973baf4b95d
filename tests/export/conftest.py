import keras
import numpy as np
import pytest
from keras import layers

SHAPE = (16, 16, 3)
CLASSES = 5


class HalfScale:
    """Pixels to -1..1, in the form `to_tflite` asks for."""

    def scale_and_shift(self):
        return np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)


@pytest.fixture
def normalization():
    return HalfScale()


@pytest.fixture
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
