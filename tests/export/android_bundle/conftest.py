"""A bundle written once, for tests that only look at it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import export

CLASSES = ("bus", "cat|dog", "cup", "fern", "shoe")


@pytest.fixture(scope="session")
def make_tiny():
    """A function that builds a small network with spread logits."""

    def make(stddev=0.5):
        keras.utils.set_random_seed(5)
        spread = keras.initializers.RandomNormal(stddev=stddev)
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

    return make


@pytest.fixture(scope="session")
def tiny(make_tiny):
    return make_tiny()


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
def make_bundle(tiny, images, labels, normalization):
    """A function that bundles the student; arguments may be changed."""

    def make(folder, quantization="int8", student=tiny, **changes):
        arguments = {
            "calibration": images,
            "normalization": normalization,
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
        return export.bundle(
            student, folder, quantization, **arguments | changes
        )

    return make


@pytest.fixture(scope="session")
def bundled(make_bundle, tmp_path_factory):
    """What `bundle` returned for a folder that tests must not change."""
    return make_bundle(tmp_path_factory.mktemp("bundled") / "things")
