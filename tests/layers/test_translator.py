"""The translator's shape, size and refusals."""

import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import Translator


def test_maps_student_features_to_the_factor():
    translator = Translator(channels=32)
    features = np.ones((2, 8, 8, 64), "float32")
    assert translator(features).shape == (2, 8, 8, 32)
    # The official translator from 64 to 32 channels has 64,640 parameters.
    expected = 9 * (64 * 64 + 64 * 32 + 32 * 32) + 64 + 32 + 32
    assert expected == 64_640
    assert translator.count_params() == expected


def test_batch_normalization_moves_only_in_training():
    translator = Translator(channels=4, batch_normalization=True)
    features = np.random.default_rng(0).normal(size=(8, 4, 4, 3))
    translator(features, training=False)
    before = [np.array(v) for v in translator.non_trainable_variables]
    translator(features, training=False)
    for old, new in zip(
        before, translator.non_trainable_variables, strict=True
    ):
        np.testing.assert_array_equal(old, new)
    translator(features, training=True)
    assert np.any(before[0] != np.array(translator.non_trainable_variables[0]))


def test_needs_channels_when_used_alone():
    with pytest.raises(InputError, match="Translator\\(channels"):
        Translator()(np.ones((1, 4, 4, 8), "float32"))


def test_refuses_less_than_one_channel():
    with pytest.raises(InputError, match="Received: 0"):
        Translator(channels=0)
