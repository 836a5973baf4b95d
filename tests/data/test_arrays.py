"""The embedded images as arrays: those of `load`, without TensorFlow."""

import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import data


@pytest.mark.parametrize(
    "arguments",
    [{}, {"seed": 3, "train_examples": 100}, {"validation_fraction": 0}],
    ids=str,
)
def test_validation_and_test_are_those_of_load(arguments):
    found = data.arrays("fashion_mini", **arguments)
    loaded = data.load("fashion_mini", batch_size=2000, **arguments)
    for part in ("validation", "test"):
        images, labels = getattr(found, part)
        ((expected, expected_labels),) = getattr(loaded, part)
        np.testing.assert_allclose(images, expected, atol=1e-6)
        np.testing.assert_array_equal(labels, expected_labels)
        assert (images.dtype, labels.dtype) == ("float32", "int32")
    assert found.classes == loaded.classes
    assert found.class_names == loaded.class_names
    assert found.input_shape == loaded.input_shape
    assert found.normalization == loaded.normalization


def test_training_images_are_those_of_load():
    found = data.arrays("fashion_mini", seed=3, train_examples=100)
    loaded = data.load(
        "fashion_mini",
        batch_size=100,
        augment=False,
        seed=3,
        train_examples=100,
    )
    ((expected, expected_labels),) = loaded.train

    def in_order(images, labels):
        keys = np.asarray(images).reshape(len(images), -1).sum(axis=1)
        order = np.argsort(keys)
        return np.asarray(images)[order], np.asarray(labels)[order]

    for one, other in zip(
        in_order(*found.train), in_order(expected, expected_labels), strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"name": "cifar10"}, "name.*'cifar10'.*fashion_mini"),
        ({"train_examples": 4501}, "train_examples.*4501.*4500"),
        ({"validation_fraction": 1.5}, "validation_fraction.*1.5"),
    ],
)
def test_what_is_not_there_is_refused(arguments, message):
    with pytest.raises(InputError, match=message):
        data.arrays(**arguments)


def test_labels_that_stay_are_those_of_load():
    arguments = {"seed": 3, "train_examples": 100, "labelled_examples": 20}
    images, labels = data.arrays("fashion_mini", **arguments).train
    loaded = data.load("fashion_mini", **arguments)
    expected, expected_labels = loaded.examples("train", 100)
    expected = loaded.normalization.apply(expected)
    ours, theirs = (
        {image.tobytes(): label for image, label in zip(*pair, strict=True)}
        for pair in ((images, labels), (expected, expected_labels))
    )
    assert ours == theirs
    assert sorted(labels)[79:81] == [-1, 0]
