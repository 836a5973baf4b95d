"""The paraphraser against the authors' published weights."""

import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import Paraphraser


def load_official(paraphraser, stored):
    """Sets PyTorch arrays; one transposition serves both kinds of kernel."""
    towers = {"conv": paraphraser.encoder, "deconv": paraphraser.decoder}
    for prefix, tower in towers.items():
        for index, layer in enumerate(tower.steps[::2]):
            kernel = stored[f"{prefix}{index}.weight"].transpose(2, 3, 1, 0)
            layer.set_weights([kernel, stored[f"{prefix}{index}.bias"]])


def test_equals_the_official_paraphraser(reference):
    # Origin: reference/README.md, the authors' trained/Paraphraser.pth run in
    # PyTorch 2.14.1.
    stored = np.load(reference / "official_paraphraser_ref.npz")
    paraphraser = Paraphraser(rate=0.5)
    features = stored["x"].transpose(0, 2, 3, 1)
    paraphraser.build(features.shape)
    load_official(paraphraser, stored)
    factor = stored["f"].transpose(0, 2, 3, 1)
    restored = stored["r"].transpose(0, 2, 3, 1)
    np.testing.assert_allclose(paraphraser(features), factor, atol=1e-5)
    np.testing.assert_allclose(
        paraphraser.reconstruct(features), restored, atol=1e-5
    )


def test_has_the_official_number_of_parameters():
    paraphraser = Paraphraser(rate=0.5)
    paraphraser.build((None, 8, 8, 64))
    encoder = 9 * (64 * 64 + 64 * 32 + 32 * 32) + 64 + 32 + 32
    decoder = 9 * (32 * 32 + 32 * 64 + 64 * 64) + 32 + 64 + 64
    assert encoder + decoder == 129_312
    assert paraphraser.count_params() == 129_312


def test_starts_like_pytorch():
    # torch's default: kernel and bias uniform in +-1/sqrt(fan_in), where a
    # transposed convolution counts its output channels as fan-in.
    paraphraser = Paraphraser(rate=0.5)
    paraphraser.build((None, 8, 8, 64))
    fans = [(64, 64, 32), (32, 64, 64)]
    for tower, fan_in in zip(
        (paraphraser.encoder, paraphraser.decoder), fans, strict=True
    ):
        for layer, channels in zip(tower.steps[::2], fan_in, strict=True):
            limit = 1 / np.sqrt(9 * channels)
            kernel, bias = layer.get_weights()
            assert np.abs(kernel).max() <= limit
            assert np.abs(kernel).max() > 0.99 * limit
            assert kernel.std() == pytest.approx(limit / np.sqrt(3), rel=0.03)
            assert 0 < np.abs(bias).max() <= limit


@pytest.mark.parametrize(
    ("rate", "rounding", "channels", "expected"),
    [
        (0.5, "round", 64, 32),
        (0.3, "round", 64, 19),
        (0.3, "floor", 64, 19),
        (0.55, "round", 10, 6),
        (0.55, "floor", 10, 5),
        (4, "round", 16, 64),
    ],
)
def test_rate_sets_the_channels(rate, rounding, channels, expected):
    paraphraser = Paraphraser(rate=rate, rounding=rounding)
    features = np.zeros((2, 5, 3, channels), "float32")
    assert paraphraser(features).shape == (2, 5, 3, expected)
    assert paraphraser.compute_output_shape(features.shape)[-1] == expected
    assert paraphraser.reconstruct(features).shape == features.shape


@pytest.mark.parametrize("rate", [0, -1, float("nan"), float("inf"), "0.5"])
def test_refuses_rates_that_are_no_positive_number(rate):
    with pytest.raises(InputError, match="Invalid `rate`.*rate=0.5"):
        Paraphraser(rate=rate)


def test_refuses_a_rate_that_leaves_no_channel():
    with pytest.raises(InputError, match="leaves 0 of 16 channels"):
        Paraphraser(rate=0.01).build((None, 8, 8, 16))


def test_refuses_features_that_are_no_maps():
    with pytest.raises(InputError, match=r"shape \(None, 64\)"):
        Paraphraser().build((None, 64))


def test_file_round_trip_keeps_weights_and_the_trained_flag(tmp_path):
    paraphraser = Paraphraser(rate=0.75, batch_normalization=True)
    model = keras.Sequential([keras.Input((4, 4, 8)), paraphraser])
    paraphraser.trained = True
    model.save(tmp_path / "paraphraser.keras")
    loaded = keras.models.load_model(tmp_path / "paraphraser.keras").layers[-1]
    features = np.random.default_rng(0).normal(size=(2, 4, 4, 8))
    assert loaded.trained
    np.testing.assert_array_equal(loaded(features), paraphraser(features))
    assert not Paraphraser.from_config(paraphraser.get_config()).trained
