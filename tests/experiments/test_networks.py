import warnings

import keras
import numpy as np
import pytest

from keras_ft.data.normalization import FASHION_MNIST
from keras_ft.data.normalization import IMAGENET
from keras_ft.errors import InputError
from keras_ft.experiments import Settings
from keras_ft.experiments import networks
from keras_ft.recipes import Recipe
from keras_ft.zoo import network_names


def test_arrays_of_a_pytorch_resnet_are_a_teacher(reference):
    path = reference / "teachers" / "resnet20_cifar10.npz"
    teacher = networks.teacher(str(path))
    assert teacher.name == "resnet20" and teacher.output_shape == (None, 10)
    assert networks.recorded_normalization(str(path)) == IMAGENET


def test_the_shipped_teacher_has_a_record_and_a_file_has_none():
    assert networks.recorded_normalization("fashion_mini") == FASHION_MNIST
    assert networks.recorded_normalization("teacher.keras") is None
    assert networks.recorded_normalization(None) is None


def test_missing_arrays_are_refused():
    with pytest.raises(InputError, match=r"absent\.npz"):
        networks.teacher("absent.npz")


def test_an_old_h5_teacher_of_keras_2_is_read(tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    layers = tf_keras.layers
    old = tf_keras.Sequential(
        [
            tf_keras.Input((8, 8, 3)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.LeakyReLU(alpha=0.2),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    with warnings.catch_warnings():  # tf_keras recommends another format.
        warnings.simplefilter("ignore")
        old.save(tmp_path / "old.h5")
    teacher = networks.teacher(str(tmp_path / "old.h5"))
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    np.testing.assert_allclose(teacher(images), old(images), atol=1e-6)
    # Nothing on the way to it refuses the name.
    name = str(tmp_path / "old.h5")
    settings = Settings(recipe=Recipe.preset("official"), teacher=name)
    assert settings.teacher == name
    network_names.check("teacher", name)


def test_code_in_an_old_file_is_not_run(tmp_path, caplog):
    image = keras.Input((8, 8, 3))
    doubled = keras.layers.Lambda(lambda x: 2 * x)(image)
    keras.Model(image, doubled).save(tmp_path / "lambda.h5")
    with pytest.raises(InputError, match="Lambda layer is code.*Rescaling"):
        networks.teacher(str(tmp_path / "lambda.h5"))


def test_weights_alone_are_told_from_a_network(tmp_path, network):
    network(4).save_weights(tmp_path / "only.weights.h5")
    with pytest.raises(InputError, match="weights alone: build the network"):
        networks.teacher(str(tmp_path / "only.weights.h5"))


def test_a_saved_model_is_to_be_converted(tmp_path):
    folder = tmp_path / "exported"
    folder.mkdir()
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(InputError, match=r"tf_keras.*save\('teacher.h5'\)"):
        networks.teacher(str(folder))
    # The check of names leaves that sentence to it.
    network_names.check("teacher", str(folder))
