"""The share of the variance against NumPy in float64."""

import keras
import numpy as np
import pytest

from keras_ft.metrics import VarianceKept


def kept(features, copy):
    flat = features.reshape(-1, features.shape[-1]).astype("float64")
    around = ((flat - flat.mean(axis=0)) ** 2).sum()
    return 1 - ((features.astype("float64") - copy) ** 2).sum() / around


@pytest.fixture
def features():
    rng = np.random.default_rng(0)
    # Channels far from 0, and of other sizes, as after a ReLU.
    scale, shift = np.array([1, 3, 0.1]), np.array([20, -1, 2])
    made = rng.normal(size=(40, 5, 5, 3)) * scale + shift
    return made.astype("float32")


def test_batches_of_any_size_add_up_to_the_whole(features):
    rng = np.random.default_rng(1)
    noise = rng.normal(size=features.shape, scale=0.7).astype("float32")
    copy = features + noise
    metric = VarianceKept(3)
    for _ in range(2):
        for part in (slice(0, 1), slice(1, 17), slice(17, 40)):
            metric.update_state(features[part], copy[part])
        found = float(metric.result())
        assert found == pytest.approx(kept(features, copy), rel=1e-4)
        metric.reset_state()


def test_its_marks(features):
    metric = VarianceKept(3)
    metric.update_state(features, features)
    assert float(metric.result()) == 1
    metric.reset_state()
    mean = np.broadcast_to(features.mean(axis=(0, 1, 2)), features.shape)
    metric.update_state(features, mean)
    assert float(metric.result()) == pytest.approx(0, abs=1e-4)
    metric.reset_state()
    metric.update_state(features, -features)
    assert float(metric.result()) < 0
    metric.reset_state()
    metric.update_state(np.full((4, 3), 0.7), np.zeros((4, 3)))
    assert float(metric.result()) == 0


def test_it_is_keras_r2_where_there_are_no_maps(features):
    rows = features[:, 0, 0]
    copy = rows + 0.3
    metric = VarianceKept(3)
    metric.update_state(rows, copy)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    other = keras.metrics.R2Score("variance_weighted_average")
    # Centered, as Keras' own sums lose digits in float32.
    assert deviation.all()
    other.update_state(rows - mean, copy - mean)
    assert float(metric.result()) == pytest.approx(
        float(other.result()), rel=1e-4
    )


def test_half_precision_is_summed_in_float32(features):
    half = features.astype("float16")
    metric = VarianceKept(3)
    for _ in range(30):  # Squares alone pass float16's largest number.
        metric.update_state(half, half + np.float16(0.5))
    expected = kept(half, half.astype("float32") + 0.5)
    assert float(metric.result()) == pytest.approx(expected, rel=1e-3)


def test_it_is_made_again_from_its_config():
    metric = VarianceKept(3, name="kept")
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert (again.channels, again.name) == (3, "kept")
