"""Files that would run code when they are loaded: refused, and nothing ran."""

import os
import pickle
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import keras_ft
from keras_ft import InputError
from keras_ft import zoo
from keras_ft.cli.main import main


@pytest.fixture
def marker(tmp_path) -> Path:
    """What the code in a hostile file would make."""
    return tmp_path / "the code ran"


@pytest.fixture
def hostile_network(marker):
    """A network for the embedded images that makes the marker when called."""
    path = str(marker)
    # Of a lambda its code is kept in the file, of a function only the name.
    touch = keras.layers.Lambda(
        lambda x: [x, __import__("os").makedirs(path, exist_ok=True)][0]
    )
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, padding="same")(image)
    x = keras.layers.ReLU(name="features")(x)
    x = touch(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(10)(x))


@pytest.fixture
def hostile_keras(hostile_network, marker, tmp_path) -> Path:
    path = tmp_path / "hostile.keras"
    hostile_network.save(path)
    # It was called when it was made.
    marker.rmdir()
    return path


def small(name, folder) -> Path:
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, padding="same")(image)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    path = folder / f"{name}.keras"
    keras.Model(image, keras.layers.Dense(10)(x)).save(path)
    return path


@pytest.mark.parametrize(
    "command",
    [
        "taps --model=HOSTILE",
        "distill --teacher=HOSTILE --student=FRIENDLY --run_dir=RUN",
        "distill --teacher=FRIENDLY --student=HOSTILE --run_dir=RUN",
        "compare --teacher=HOSTILE --student=FRIENDLY --run_dir=RUN",
        "tune --teacher=HOSTILE --student=FRIENDLY --run_dir=RUN",
        "export --student=HOSTILE",
        "benchmark --tflite=FILE --student=HOSTILE --dataset=fashion_mini",
    ],
)
def test_a_lambda_layer_is_refused(
    command, hostile_keras, marker, tmp_path, capsys
):
    places = {
        "HOSTILE": str(hostile_keras),
        "FRIENDLY": str(small("friendly", tmp_path)),
        "RUN": str(tmp_path / "run"),
        "FILE": str(tmp_path / "any.tflite"),
    }
    Path(places["FILE"]).write_bytes(b"TFL3")
    words = [command.split()[0]]
    for word in command.split()[1:]:
        flag, value = word.split("=")
        words.append(f"{flag}={places.get(value, value)}")
    if words[0] in ("distill", "compare", "tune"):
        words += ["--train_examples=64", "--paraphrase_epochs=1", "--epochs=1"]
        # The friendly teacher knows nothing, which would be refused first.
        words.append("--pixels=dataset")
    assert main(words) == 2
    assert not marker.exists()
    error = capsys.readouterr().err
    assert hostile_keras.name in error and "Lambda" in error


def test_a_lambda_layer_in_a_wrapper_is_refused(
    hostile_network, marker, tmp_path
):
    teacher = keras.models.load_model(small("teacher", tmp_path))
    wrapper = keras_ft.FactorTransfer(
        teacher, hostile_network, keras_ft.Paraphraser()
    )
    wrapper.save(tmp_path / "wrapper.keras")
    marker.rmdir()
    with pytest.raises(ValueError, match="Lambda"):
        keras.models.load_model(tmp_path / "wrapper.keras")
    assert not marker.exists()


class Hostile:
    """Makes a folder when it is unpickled."""

    def __init__(self, path):
        self.path = str(path)

    def __reduce__(self):
        return os.mkdir, (self.path,)


def entry(path, marker):
    """An archive, one of whose arrays holds an object."""
    objects = np.empty(1, object)
    objects[0] = Hostile(marker)
    np.savez(path, **{"conv1.weight": objects})


def whole(path, marker):
    """No archive at all, but a pickle."""
    path.write_bytes(pickle.dumps(Hostile(marker)))


@pytest.fixture
def photos(tmp_path) -> Path:
    """A folder of colour images, as teachers from PyTorch need them."""
    random = np.random.default_rng(0)
    for index in range(20):
        path = tmp_path / "photos" / "ab"[index % 2] / f"{index}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = random.integers(0, 256, (32, 32, 3), np.uint8)
        Image.fromarray(pixels).save(path)
    return tmp_path / "photos"


@pytest.mark.parametrize("write", [entry, whole])
def test_pickled_arrays_are_refused(write, marker, photos, tmp_path, capsys):
    path = tmp_path / "hostile.npz"
    write(path, marker)
    with pytest.raises(InputError, match=r"hostile\.npz.*pickle"):
        zoo.load_torch_resnet(path)
    words = ["distill", f"--teacher={path}", f"--dataset={photos}"]
    assert main([*words, f"--run_dir={tmp_path / 'run'}"]) == 2
    assert "hostile.npz" in capsys.readouterr().err
    assert not marker.exists()


@pytest.mark.parametrize("write", [entry, whole])
def test_the_pickles_above_are_hostile(write, marker, tmp_path):
    path = tmp_path / "hostile.npz"
    write(path, marker)
    loaded = np.load(path, allow_pickle=True)
    if write is entry:
        with loaded:
            loaded["conv1.weight"]
    assert marker.is_dir()


def test_the_network_above_is_hostile(hostile_keras, marker):
    keras.models.load_model(hostile_keras, safe_mode=False)
    assert marker.is_dir()
