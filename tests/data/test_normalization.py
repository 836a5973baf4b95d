"""Pixels to network input."""

import numpy as np
import pytest

from keras_ft.data import normalization
from keras_ft.data.normalization import Normalization


def test_statistics_are_numpys_in_float64() -> None:
    images = np.random.default_rng(0).integers(
        0, 256, (40, 6, 5, 3), dtype=np.uint8
    )
    found = Normalization.of([images[:7], images[7:]])
    scaled = images / 255.0
    np.testing.assert_allclose(found.mean, scaled.mean((0, 1, 2)), rtol=1e-12)
    np.testing.assert_allclose(found.std, scaled.std((0, 1, 2)), rtol=1e-12)


def test_apply_is_the_documented_formula() -> None:
    images = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1)
    images = np.repeat(images, 3, axis=-1)
    mean, std = normalization.CIFAR10.mean, normalization.CIFAR10.std
    expected = (images / 255.0 - np.array(mean)) / np.array(std)
    found = normalization.CIFAR10.apply(images)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-6)


def test_a_constant_channel_becomes_zero() -> None:
    images = np.full((2, 3, 3, 1), 128, np.uint8)
    found = Normalization.of([images])
    assert found.std == (1.0,)
    assert found.apply(images) == pytest.approx(
        np.zeros((2, 3, 3, 1)), abs=1e-6
    )
