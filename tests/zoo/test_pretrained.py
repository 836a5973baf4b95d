import hashlib
import importlib
import json

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError

# `zoo.pretrained` is the function; the module hides behind it.
module = importlib.import_module("keras_ft.zoo.pretrained")


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """A folder of weights with one network in it, called `tiny`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    zoo.resnet8(input_shape=(28, 28, 1)).save(folder / "tiny.keras")
    digest = hashlib.sha256((folder / "tiny.keras").read_bytes()).hexdigest()
    record = {"sha256": digest, "test_accuracy": 0.5}
    (folder / "tiny.json").write_text(json.dumps(record))
    monkeypatch.setattr(module, "_weights", lambda: folder)
    return folder


def test_loads_the_network(weights):
    model = zoo.pretrained("tiny")
    saved = keras.models.load_model(weights / "tiny.keras")
    assert model.input_shape == (None, 28, 28, 1)
    assert all(map(np.array_equal, model.get_weights(), saved.get_weights()))
    assert zoo.provenance("tiny")["test_accuracy"] == 0.5


def test_suggests_a_near_name(weights):
    with pytest.raises(InputError, match="Did you mean 'tiny'"):
        zoo.pretrained("tinny")


@pytest.mark.parametrize("name", ["imagenet", "../weights/tiny", ""])
def test_lists_what_there_is(weights, name):
    with pytest.raises(InputError, match="one of tiny"):
        zoo.pretrained(name)


def test_missing_network_file(weights):
    (weights / "tiny.keras").unlink()
    with pytest.raises(InputError, match=r"tiny\.keras, which is missing"):
        zoo.pretrained("tiny")


def test_damaged_network_file(weights):
    content = bytearray((weights / "tiny.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (weights / "tiny.keras").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        zoo.pretrained("tiny")


@pytest.mark.parametrize("record", ["{", "[]", "{}"])
def test_damaged_record(weights, record):
    (weights / "tiny.json").write_text(record)
    with pytest.raises(InputError, match=r"tiny\.json"):
        zoo.pretrained("tiny")


def test_installation_without_networks(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_weights", lambda: tmp_path / "absent")
    with pytest.raises(InputError, match="which has none"):
        zoo.pretrained("fashion_mini")


def test_every_shipped_network_loads():
    for name in module._installed():
        model = zoo.pretrained(name)
        assert isinstance(model, keras.Model)
        assert model.output.shape[-1] >= 2
