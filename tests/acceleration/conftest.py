"""Networks with batch norms, and how a folded copy is compared with them."""

import keras
import numpy as np
import pytest

from keras_ft.acceleration.folded_teacher import relative_error
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap

layers = keras.layers

# Measured below 2e-6 on every network here, from rounding alone: the stated
# bound of 1e-4 leaves room for other processors' sums.
BOUND = 1e-4


@pytest.fixture(scope="session")
def randomised():
    """Statistics and parameters of batch norms as after some training."""

    def change(model, seed=0):
        rng = np.random.default_rng(seed)
        for layer in model._flatten_layers():
            if isinstance(layer, layers.BatchNormalization):
                for variable, low, high in (
                    (layer.gamma, 0.5, 1.5),
                    (layer.beta, -0.5, 0.5),
                    (layer.moving_mean, -0.5, 0.5),
                    (layer.moving_variance, 0.5, 2.0),
                ):
                    if variable is not None:
                        variable.assign(rng.uniform(low, high, variable.shape))
        return model

    return change


@pytest.fixture(scope="session")
def images():
    """Random numbers of a shape."""

    def draw(*shape):
        return np.random.default_rng(7).normal(size=shape).astype("float32")

    return draw


@pytest.fixture(scope="session")
def kinds():
    """The class names of a model's layers."""

    def names(model):
        return [type(layer).__name__ for layer in model.layers]

    return names


@pytest.fixture(scope="session")
def bound():
    """Largest relative error of a folded copy in float32."""
    return BOUND


@pytest.fixture(scope="session")
def assert_equal():
    """Asserts that a folded copy answers as its original."""

    def compare(model, folded, x, bound=BOUND):
        expected = keras.tree.flatten(model(x, training=False))
        found = keras.tree.flatten(folded(x, training=False))
        for theirs, ours in zip(expected, found, strict=True):
            assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
            assert relative_error(theirs, ours) <= bound

    return compare


@pytest.fixture
def one_conv(randomised):
    """A convolution, its batch norm, which gets the arguments, and a ReLU."""

    def build(**norm):
        image = keras.Input((8, 8, 3))
        x = layers.Conv2D(6, 3, padding="same", name="conv")(image)
        x = layers.BatchNormalization(name="norm", **norm)(x)
        return randomised(keras.Model(image, layers.ReLU(name="relu")(x)))

    return build


@pytest.fixture(scope="session")
def watched():
    """A teacher's features and logits."""

    def cut(teacher):
        return feature_extractor(
            teacher, [find_tap(teacher, None, "teacher_layer")]
        )

    return cut
