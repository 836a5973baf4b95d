"""A folder handed over once, for tests that only look at it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import export

CLASSES = ("bus", "cat|dog", "cup", "fern", "shoe")


class HalfScale:
    """Pixels to -1..1."""

    def scale_and_shift(self):
        return np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)


@pytest.fixture(scope="session")
def tiny():
    """A small network with spread logits."""
    keras.utils.set_random_seed(5)
    spread = keras.initializers.RandomNormal(stddev=0.5)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Conv2D(16, 3, strides=2, activation="relu"),
            layers.Flatten(),
            layers.Dense(5, kernel_initializer=spread),
        ],
        name="tiny",
    )


@pytest.fixture(scope="session")
def top1(tiny, images):
    """Keras' classes of the images."""
    logits = tiny.predict(np.float32(images) / 127.5 - 1.0, verbose=0)
    return np.argmax(logits, axis=-1)


@pytest.fixture(scope="session")
def labels(top1):
    """Labels by which Keras is right on 44 of 48 images."""
    wrong = (top1[:4] + 1) % len(CLASSES)
    return np.concatenate([wrong, top1[4:]])


@pytest.fixture(scope="session")
def make_bundle(tiny, images, labels):
    """Hands the student over; arguments may be changed."""

    def make(folder, quantization="int8", **changes):
        arguments = {
            "calibration": images,
            "normalization": HalfScale(),
            "class_names": CLASSES,
            "labels": labels,
            "card": export.ModelCard(
                author="Ann",
                license="MIT",
                version="1.2",
                teacher="a large network",
                settings={"rate": 0.5},
                accuracies={"teacher": 0.9},
                notes=("One seed.",),
            ),
            "package": "org.example.things",
            "golden": 6,
            "max_accuracy_drop": 0.2,
        }
        return export.bundle(tiny, folder, quantization, **arguments | changes)

    return make


@pytest.fixture(scope="session")
def handed_over(make_bundle, tmp_path_factory):
    """What `bundle` returned for a folder that tests must not change."""
    return make_bundle(tmp_path_factory.mktemp("handed") / "things")
