import hashlib
import json

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError
from keras_ft.zoo import network_names


def test_names():
    assert zoo.names() == (
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "wrn16_1",
        "wrn16_2",
        "wrn40_1",
        "wrn40_2",
        "vgg8",
        "vgg13",
        "mobilenet_v2_small",
    )


@pytest.mark.parametrize("name", zoo.names())
def test_the_name_builds_the_network_of_that_name(name, built):
    assert built(name).name == name


def test_wide_resnets_beyond_the_list():
    assert zoo.build("wrn10_1", classes=2).name == "wrn10_1"


def test_an_impossible_wide_resnet_says_why():
    with pytest.raises(InputError, match="6n \\+ 4"):
        zoo.build("wrn17_1")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet21", "Did you mean .*resnet20"),
        ("wrn-16-2", "Did you mean .*wrn16_2"),
        ("mobilenet", "Did you mean mobilenet_v2_small"),
        ("transformer", "Pick one of these"),
    ],
)
def test_unknown_names_get_a_suggestion(name, suggestion):
    with pytest.raises(InputError, match=suggestion):
        zoo.build(name)


@pytest.fixture
def weights(tmp_path):
    """A folder of weights with one network in it, called `tiny`."""
    folder = tmp_path / "weights"
    folder.mkdir()
    zoo.resnet8(input_shape=(28, 28, 1)).save(folder / "tiny.keras")
    digest = hashlib.sha256((folder / "tiny.keras").read_bytes()).hexdigest()
    record = {"sha256": digest, "test_accuracy": 0.5}
    (folder / "tiny.json").write_text(json.dumps(record))
    return folder


def test_loads_the_network(weights):
    model = zoo.pretrained("tiny", weights)
    saved = keras.models.load_model(weights / "tiny.keras")
    assert model.input_shape == (None, 28, 28, 1)
    assert all(map(np.array_equal, model.get_weights(), saved.get_weights()))
    assert zoo.provenance("tiny", weights)["test_accuracy"] == 0.5


def test_suggests_a_near_name(weights):
    with pytest.raises(InputError, match="Did you mean 'tiny'"):
        zoo.pretrained("tinny", weights)


@pytest.mark.parametrize("name", ["imagenet", "../weights/tiny", ""])
def test_lists_what_there_is(weights, name):
    with pytest.raises(InputError, match="one of tiny"):
        zoo.pretrained(name, weights)


def test_missing_network_file(weights):
    (weights / "tiny.keras").unlink()
    with pytest.raises(InputError, match=r"tiny\.keras, which is missing"):
        zoo.pretrained("tiny", weights)


def test_damaged_network_file(weights):
    content = bytearray((weights / "tiny.keras").read_bytes())
    content[len(content) // 2] ^= 1
    (weights / "tiny.keras").write_bytes(content)
    with pytest.raises(InputError, match="damaged"):
        zoo.pretrained("tiny", weights)


@pytest.mark.parametrize("record", ["{", "[]", "{}"])
def test_damaged_record(weights, record):
    (weights / "tiny.json").write_text(record)
    with pytest.raises(InputError, match=r"tiny\.json"):
        zoo.pretrained("tiny", weights)


def test_installation_without_networks(tmp_path):
    with pytest.raises(InputError, match="which has none"):
        zoo.pretrained("fashion_mini", tmp_path / "absent")


def test_every_shipped_network_loads():
    shipped = network_names.shipped()
    assert "fashion_mini" in shipped
    for name in shipped:
        model = zoo.pretrained(name)
        assert isinstance(model, keras.Model)
        assert model.output.shape[-1] >= 2
