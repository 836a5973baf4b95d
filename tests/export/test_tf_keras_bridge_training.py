"""Bridged layers that do something else in training."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.export import to_tf_keras

pytest.importorskip("tf_keras", reason="tf_keras is not installed")

SHAPE = (8, 8, 3)


def test_a_training_step_moves_the_same_batch_statistics():
    values = (
        np.random.default_rng(1).normal(2, 3, (16, *SHAPE)).astype("float32")
    )
    norm = layers.BatchNormalization(momentum=0.9, epsilon=1e-4, name="norm")
    model = keras.Sequential([keras.Input(SHAPE), norm])
    copy = to_tf_keras(model).get_layer("norm")
    assert (copy.momentum, copy.epsilon) == (0.9, 1e-4)
    expected = norm(values, training=True)
    received = copy(values, training=True)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    np.testing.assert_allclose(
        copy.moving_mean, norm.moving_mean.numpy(), rtol=1e-5
    )
    # The kernel behind tf_keras takes the unbiased variance.
    count = values.size // SHAPE[-1]
    share = norm.moving_variance.numpy() - 0.9
    np.testing.assert_allclose(
        copy.moving_variance, 0.9 + share * count / (count - 1), rtol=1e-5
    )


@pytest.mark.parametrize("flat", [False, True])
def test_dropout_drops_in_training_and_only_there(flat):
    image = keras.Input(SHAPE)
    inner = keras.Model(image, layers.Dropout(0.5)(image))
    model = keras.Model(image, layers.Dropout(0.5)(inner(image)))
    made = to_tf_keras(model, flat=flat)
    ones = np.ones((4, *SHAPE), np.float32)
    dropped = np.mean(made(ones, training=True) == 0)
    assert dropped == pytest.approx(0.75, abs=0.05)
    np.testing.assert_array_equal(made(ones, training=False), ones)
