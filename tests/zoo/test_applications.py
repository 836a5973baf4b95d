import socket
import sys
import urllib.error

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError
from keras_ft.zoo import applications


@pytest.mark.parametrize("kind", ["tf", "torch", "caffe"])
def test_pixels_are_prepared_as_keras_does(kind, tmp_path):
    pixels = np.random.default_rng(0).uniform(0, 255, (2, 4, 4, 3))
    pixels = pixels.astype("float32")
    image = keras.Input((4, 4, 3))
    model = keras.Model(image, applications._preprocessed(image, kind))
    wanted = keras.applications.imagenet_utils.preprocess_input(
        pixels.copy(), mode=kind
    )
    model.save(tmp_path / "model.keras")
    for network in (model, keras.models.load_model(tmp_path / "model.keras")):
        np.testing.assert_allclose(network(pixels), wanted, atol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_network_takes_raw_pixels_and_returns_logits(channels):
    network = zoo.backbone("mobilenet_0.25", 3, (32, 32, channels), None)
    assert network.output_shape == (None, 3)
    assert network.input_shape == (None, 32, 32, channels)
    assert [layer.name for layer in network.layers[-2:]] == ["pool", "head"]
    assert network.layers[-1].activation is keras.activations.linear
    # Flat, as QAT and the taps' names want it.
    assert not any(isinstance(x, keras.Model) for x in network.layers)


def test_too_small_images_are_refused():
    with pytest.raises(InputError, match=r"MobileNet .*at least 32"):
        zoo.backbone("MobileNet", 3, (28, 28, 3), None)


def test_what_is_no_backbone_is_refused():
    with pytest.raises(InputError, match="EfficientNetB0"):
        zoo.backbone("resnet20", 3, (32, 32, 3), None)
    with pytest.raises(InputError, match="weights"):
        zoo.backbone("MobileNet", 3, (32, 32, 3), "noisy")


@pytest.mark.parametrize(
    "error",
    [
        urllib.error.URLError("Name or service not known"),
        TimeoutError("timed out"),
        ConnectionResetError("reset by peer"),
    ],
)
def test_no_network_is_a_sentence(error, tmp_path, monkeypatch):
    limits = []

    def urlretrieve(url, *arguments):
        limits.append(socket.getdefaulttimeout())
        raise error

    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    get_file = sys.modules[keras.utils.get_file.__module__]
    monkeypatch.setattr(get_file, "urlretrieve", urlretrieve)
    with pytest.raises(InputError) as caught:
        zoo.backbone("MobileNet_0.25", 3, (32, 32, 3))
    text = str(caught.value)
    assert "weights of MobileNet cannot be downloaded" in text
    assert "--weights=none" in text
    assert limits == [applications.SECONDS]
    assert socket.getdefaulttimeout() is None


def test_weights_of_imagenet_are_loaded(tmp_path, monkeypatch):
    """From a file such as Keras would download, which has no head."""
    first = keras.applications.MobileNet(
        alpha=0.25, weights=None, include_top=False, input_shape=(32, 32, 3)
    )
    first.save_weights(tmp_path / "some.weights.h5")
    loaded = []

    def load_weights(model, path, *arguments, **more):
        loaded.append(path)
        model.set_weights(first.get_weights())

    monkeypatch.setattr(
        sys.modules[keras.applications.MobileNet.__module__].file_utils,
        "get_file",
        lambda name, *arguments, **more: name,
    )
    monkeypatch.setattr(keras.Model, "load_weights", load_weights)
    network = zoo.backbone("MobileNet_0.25", 3, (32, 32, 3))
    assert loaded == ["mobilenet_2_5_224_tf_no_top.h5"]
    np.testing.assert_array_equal(
        network.get_layer("conv1").get_weights()[0],
        first.get_layer("conv1").get_weights()[0],
    )
