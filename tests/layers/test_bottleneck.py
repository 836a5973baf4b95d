"""Wide feature maps are narrowed; published sizes stay as published."""

import json
import zipfile

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import Translator


def parameters(channels, **options):
    paraphraser = Paraphraser(0.5, **options)
    paraphraser.build((None, 3, 3, channels))
    return paraphraser, paraphraser.count_params()


def full(channels, code):
    """Count the official network: three 3x3 convolutions, there and back."""
    weights = 9 * (channels**2 + channels * code + code**2)
    return 2 * weights + channels + 2 * code + code + 2 * channels


@pytest.mark.parametrize("channels", [64, 512])
def test_published_sizes_are_the_official_network(channels):
    paraphraser, count = parameters(channels)
    assert count == full(channels, channels // 2)
    assert paraphraser.encoder.kernel_sizes == (3, 3, 3)
    assert paraphraser.narrowing == ""


def test_a_resnet50_s_maps_have_a_tenth_of_the_parameters():
    paraphraser, count = parameters(2048)
    # 1x1 into 512 channels, the official network for them, and 1x1 back.
    into_and_out = 2 * 2048 * 512 + 512 + 2048
    assert count == full(512, 256) + into_and_out == 10_359_552
    assert full(2048, 1024) == 132_129_792
    assert paraphraser.narrowing == (
        "2,048 channels are narrowed to 512 by 1x1 convolutions, as in the "
        "bottlenecks of He et al. 2016: 10.4 M parameters instead of 132.1 M"
    )
    assert paraphraser.factor_channels(2048) == 256
    assert paraphraser.compute_output_shape((2, 3, 3, 2048)) == (2, 3, 3, 256)


def test_the_first_convolution_starts_like_pytorch():
    kernel, bias = parameters(600)[0].encoder.steps[0].get_weights()
    assert kernel.shape == (1, 1, 600, 150)
    limit = 1 / np.sqrt(600)
    for array in (kernel, bias):
        assert 0.9 * limit < np.abs(array).max() <= limit


def test_the_width_can_be_chosen():
    features = np.ones((2, 2, 2, 16), "float32")
    for bottleneck, code in ((None, 8), ("auto", 8), (6, 3)):
        for layer in (
            Paraphraser(0.5, bottleneck=bottleneck),
            Translator(code, bottleneck=bottleneck),
        ):
            assert layer(features).shape == (2, 2, 2, code)
            assert layer.get_config()["bottleneck"] == bottleneck
    narrowed = Paraphraser(0.5, bottleneck=6)
    assert narrowed.reconstruct(features).shape == features.shape
    wide, _ = parameters(600, bottleneck=None)
    assert wide.narrowing == "" and wide.factor_channels(600) == 300
    for wrong in (0, -1, 2.0, True, "wide"):
        for layer in (Paraphraser, Translator):
            with pytest.raises(InputError, match="`bottleneck`"):
                layer(bottleneck=wrong)


@pytest.mark.parametrize("bottleneck", ["auto", None, 20])
def test_it_is_read_from_a_file(bottleneck, tmp_path):
    features = keras.Input((2, 2, 516))
    layer = Paraphraser(0.1, bottleneck=bottleneck)
    model = keras.Model(features, layer(features))
    model.save(tmp_path / "paraphraser.keras")
    loaded = keras.models.load_model(tmp_path / "paraphraser.keras")
    x = np.random.default_rng(0).normal(size=(2, 2, 2, 516))
    np.testing.assert_array_equal(loaded(x), model(x))
    np.testing.assert_array_equal(
        loaded.layers[-1].reconstruct(x), layer.reconstruct(x)
    )


def test_a_wide_network_of_an_earlier_version_keeps_its_channels(tmp_path):
    features = keras.Input((2, 2, 516))
    layer = Paraphraser(0.1, bottleneck=None)
    x = Translator(8, bottleneck=None)(features)
    model = keras.Model(features, [layer(features), x])
    file, earlier = tmp_path / "now.keras", tmp_path / "earlier.keras"
    model.save(file)
    with zipfile.ZipFile(file) as read, zipfile.ZipFile(earlier, "w") as write:
        for name in read.namelist():
            content = read.read(name)
            if name == "config.json":
                # It wrote nothing about it.
                assert content.count(b'"bottleneck": null') == 2
                config = json.loads(
                    content, object_hook=lambda d: _without(d, "bottleneck")
                )
                content = json.dumps(config).encode()
            write.writestr(name, content)
    loaded = keras.models.load_model(earlier)
    x = np.random.default_rng(0).normal(size=(2, 2, 2, 516))
    for mine, theirs in zip(loaded(x), model(x), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def _without(values, name):
    return {key: value for key, value in values.items() if key != name}


def test_wide_maps_are_transferred_and_it_is_said(caplog):
    def network(channels):
        image = keras.Input((4, 4, 3))
        x = keras.layers.Conv2D(channels, 1, activation="relu")(image)
        x = keras.layers.GlobalAveragePooling2D()(x)
        return keras.Model(image, keras.layers.Dense(2)(x))

    caplog.set_level("WARNING", logger="absl")
    images = np.random.default_rng(0).normal(size=(4, 4, 4, 3))
    paraphraser = Paraphraser(0.5)
    teacher = network(516)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    assert "Paraphraser: 516 channels are narrowed to 129 by" in caplog.text
    phase1.compile("sgd", run_eagerly=True)
    phase1.fit(images, verbose=0)
    model = keras_ft.FactorTransfer(teacher, network(520), paraphraser)
    assert model.transfers[0].translator.tower.widths == (130, 130, 64, 64)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    logs = model.fit(images, np.zeros(4), verbose=0).history
    assert np.isfinite(logs["factor_loss"]).all()
