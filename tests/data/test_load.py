"""The door: the embedded data, and what cannot be loaded."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ft import data
from keras_ft.data import fashion_mini
from keras_ft.data import normalization
from keras_ft.errors import InputError


def test_embedded_arrays_are_those_of_the_provenance() -> None:
    provenance = json.loads(
        fashion_mini.FILE.with_name("PROVENANCE.json").read_text()
    )
    content = fashion_mini.FILE.read_bytes()
    assert hashlib.sha256(content).hexdigest() == provenance["npz_sha256"]
    assert len(content) == provenance["npz_bytes"] < 3_200_000
    found = fashion_mini.read()
    assert set(found) == set(provenance["arrays"])
    for name, facts in provenance["arrays"].items():
        assert list(found[name].shape) == facts["shape"]
        digest = hashlib.sha256(found[name].tobytes()).hexdigest()
        assert digest == facts["sha256"]
    statistics = provenance["training_split_statistics"]
    assert normalization.FASHION_MNIST.mean == (statistics["mean"],)
    assert normalization.FASHION_MNIST.std == (statistics["std"],)
    notice = fashion_mini.FILE.with_name("LICENSE").read_text()
    assert "2017 Zalando SE" in notice and "MIT" in notice


def test_embedded_classes_are_balanced() -> None:
    found = fashion_mini.read()
    for split, count in (("train", 500), ("test", 200)):
        labels = found[f"{split}_labels"]
        assert np.bincount(labels).tolist() == [count] * 10


def test_the_default() -> None:
    found = data.load(batch_size=100)
    assert found.name == "fashion_mini" and found.notes == ()
    assert found.sizes == {"train": 4500, "validation": 500, "test": 2000}
    assert found.classes == len(found.class_names) == 10
    assert found.input_shape == (28, 28, 1)
    assert found.steps_per_epoch == 45 == found.train.cardinality()
    assert found.normalization == normalization.FASHION_MNIST
    images, labels = next(iter(found.train))
    assert images.shape == (100, 28, 28, 1) and labels.dtype == "int32"
    assert abs(float(np.mean(images))) < 0.3


def test_test_images_are_the_embedded_ones_normalized() -> None:
    found = data.load(batch_size=500)
    batches = list(found.test)
    images = np.concatenate([x for x, _ in batches])
    labels = np.concatenate([y for _, y in batches])
    embedded = fashion_mini.read()
    expected = found.normalization.apply(embedded["test_images"])
    np.testing.assert_allclose(images, expected, atol=1e-6)
    np.testing.assert_array_equal(labels, embedded["test_labels"])


def test_resume_continues_exactly() -> None:
    found = data.load(train_examples=300, batch_size=100, seed=4)
    whole = list(found.train_from(0).take(6))
    for (x, y), (x2, y2) in zip(
        whole[3:], found.train_from(1).take(3), strict=True
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
    with pytest.raises(InputError, match="epoch"):
        found.train_from(-1)


def test_augmentation_is_told_and_mixing_makes_rows_of_labels() -> None:
    assert data.load(train_examples=64).augment == "crop+flip"
    assert data.load(train_examples=64, augment=False).augment == "none"
    found = data.load(train_examples=64, batch_size=32, augment="mixup+crop")
    assert found.augment == "crop+mixup"
    for split in (found.train, found.train_from(3), found.validation):
        images, labels = split.element_spec
        assert images.shape[1:] == (28, 28, 1)
        assert labels.shape[1:] == (10,) and labels.dtype == "float32"
    _, rows = next(iter(found.test))
    _, labels = found.examples("test", 4)
    assert labels.dtype == np.int32 and labels.shape == (4,)
    known = fashion_mini.read()["test_labels"][: len(rows)]
    np.testing.assert_array_equal(np.argmax(rows, axis=1), known)


def test_drop_remainder_shortens_training_only() -> None:
    found = data.load(batch_size=128, drop_remainder=True)
    assert found.steps_per_epoch == 35
    assert found.train.element_spec[0].shape[0] == 128
    assert sum(len(y) for _, y in found.test) == 2000


def test_examples_are_raw_seeded_and_distinct() -> None:
    found = data.load()
    images, labels = found.examples("test", 64, seed=1)
    assert images.dtype == np.uint8 and images.shape == (64, 28, 28, 1)
    again = found.examples("test", 64, seed=1)
    np.testing.assert_array_equal(images, again[0])
    np.testing.assert_array_equal(labels, again[1])
    assert np.any(labels != found.examples("test", 64, seed=2)[1])
    everything = found.examples("test", 2000)[1]
    assert np.bincount(everything).tolist() == [200] * 10
    with pytest.raises(InputError, match="count"):
        found.examples("validation", 501)
    with pytest.raises(InputError, match="split"):
        found.examples("dev", 1)


@pytest.mark.parametrize(
    ("arguments", "argument"),
    [
        ({"image_size": (32, 32)}, "image_size"),
        ({"train_examples": 4501}, "train_examples"),
        ({"augment": "shear"}, "augment"),
        ({"augment": "crop+mixup", "batch_size": 1}, "batch_size"),
        (
            {"normalization": data.Normalization((0.5,) * 3, (1.0,) * 3)},
            "normalization",
        ),
        (
            {"train_examples": 10, "drop_remainder": True},
            "batch_size",
        ),
    ],
)
def test_refused(arguments: dict[str, Any], argument: str) -> None:
    with pytest.raises(InputError) as caught:
        data.load(**arguments)
    assert caught.value.argument == argument


def test_a_folder_that_is_not_there_is_refused_by_name() -> None:
    with pytest.raises(InputError, match="no folder ./no_such_folder"):
        data.load("./no_such_folder")


@pytest.mark.parametrize("load", [data.load, data.arrays])
def test_printing_a_data_set_is_one_line(load: Any) -> None:
    assert str(load(train_examples=64)) == (
        "fashion_mini: 64 training, 500 validation and 2,000 test images, "
        "28x28x1, 10 classes"
    )


def test_a_path_object_is_accepted(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="class folders"):
        data.load(tmp_path)


def test_epochs_can_be_counted_from_elsewhere():
    loaded = data.load("fashion_mini", batch_size=32, train_examples=64)
    later = loaded.starting_at(3)
    for first, second in ((0, 3), (2, 5)):
        mine, known = (
            next(iter(source.train_from(epoch)))
            for source, epoch in ((later, first), (loaded, second))
        )
        np.testing.assert_array_equal(mine[0], known[0])
        np.testing.assert_array_equal(mine[1], known[1])
    assert later.sizes == loaded.sizes
    assert later.validation is loaded.validation


def test_pixels_order_and_splits_are_those_of_every_version() -> None:
    """Digests of version 610c393: a cache or a training goes on with them."""
    found = data.load(batch_size=64, train_examples=1000, seed=3)
    mean, std = found.normalization.mean[0], found.normalization.std[0]

    def digest(batches: Any) -> str:
        content = hashlib.sha256()
        for images, labels in batches.take(2):
            # Pixels: the last bit of a float depends on the processor.
            pixels = np.rint((images.numpy() * std + mean) * 255)
            content.update(pixels.astype(np.uint8).tobytes())
            content.update(labels.numpy().tobytes())
        return content.hexdigest()[:16]

    assert digest(found.train_from(0)) == "b9de8b56eb4a4982"
    assert digest(found.train_from(1)) == "d1d572df9a21b3f1"
    assert digest(found.starting_at(5).train_from(2)) == "95c7255d0c744778"
    assert digest(found.train) == "9ef03c242e45b896"
    assert digest(found.validation) == "c109bbcd738e0508"
    assert digest(found.test) == "e5f127d41fc7ad46"
    images, labels = found.examples("train", 32, seed=2)
    content = hashlib.sha256(images.tobytes() + labels.tobytes())
    assert content.hexdigest()[:16] == "2b3bd02c58a7414d"
