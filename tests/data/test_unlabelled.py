"""Training images without labels, beside labelled ones."""

from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from keras_ft import data
from keras_ft.errors import InputError

FEW = {"labelled_examples": 100, "train_examples": 1000, "batch_size": 64}


def batches_of(found, epoch):
    """Return images, labels and numbers of one epoch, batch by batch."""
    epochs = tf.data.Dataset.from_tensors(np.int64(epoch))
    return [
        (images.numpy(), labels.numpy(), numbers.numpy())
        for images, labels, numbers, _ in found.numbered("train", epochs)
    ]


def joined(batches):
    return [np.concatenate(parts) for parts in zip(*batches, strict=True)]


@pytest.fixture(scope="module")
def few():
    return data.load("fashion_mini", augment=False, **FEW)


@pytest.fixture(scope="module")
def every():
    return data.load("fashion_mini", train_examples=1000)


def test_the_labels_that_stay_are_a_stratified_draw(few, every):
    images, labels = few.examples("train", 1000)
    same_images, all_labels = every.examples("train", 1000)
    np.testing.assert_array_equal(images, same_images)
    known = labels >= 0
    assert known.sum() == few.labelled_examples == 100
    np.testing.assert_array_equal(labels[known], all_labels[known])
    assert np.all(labels[~known] == -1)
    wanted = np.bincount(all_labels, minlength=10) / 10
    assert np.all(np.abs(np.bincount(labels[known]) - wanted) <= 1)
    assert str(few).startswith("fashion_mini: 1,000 training (100 of them lab")


def test_another_seed_keeps_other_labels():
    drawn = [
        data.load("fashion_mini", seed=seed, **FEW)._batches["train"].split
        for seed in (0, 0, 1)
    ]
    first, again, other = (split.labels for split in drawn)
    np.testing.assert_array_equal(first, again)
    assert np.any((first >= 0) != (other >= 0))


def test_validation_and_test_keep_their_labels(few, every):
    for part in ("validation", "test"):
        ours = np.concatenate([y for _, y in getattr(few, part)])
        theirs = np.concatenate([y for _, y in getattr(every, part)])
        np.testing.assert_array_equal(ours, theirs)


def test_every_batch_is_full_and_begins_with_a_quarter_of_labels(few):
    found = batches_of(few, 3)
    assert len(found) == few.steps_per_epoch == 16  # 1,000 images by 64
    for images, labels, _ in found:
        assert images.shape == (64, 28, 28, 1)
        assert np.all(labels[:16] >= 0) and np.all(labels[16:] == -1)


def test_images_come_evenly_and_belong_to_their_numbers(few):
    split = few._batches["train"].split
    images, labels, numbers = map(
        np.concatenate, zip(*batches_of(few, 0), strict=True)
    )
    places = numbers % 1000
    np.testing.assert_array_equal(labels, split.labels[places])
    pixels = split.images(places).astype("float32") / 255
    mean, std = few.normalization.mean, few.normalization.std
    np.testing.assert_allclose(images, (pixels - mean) / std, atol=1e-5)
    # 16 x 16 labelled images of 100: each twice or three times; and
    # 16 x 48 of 900: each at most once.
    times = np.bincount(places, minlength=1000)
    known = split.labels >= 0
    assert set(times[known]) == {2, 3}
    assert set(times[~known]) == {0, 1}
    assert len(set(numbers)) == few.rows("train") == 1024
    assert numbers.max() < few.number_bound("train") == 3000


def test_an_epoch_depends_on_seed_and_number_alone(few):
    again = data.load("fashion_mini", augment=False, **FEW)
    first, second, other = (
        np.concatenate([numbers for *_, numbers in batches_of(found, epoch)])
        for found, epoch in ((few, 5), (again, 5), (again, 6))
    )
    np.testing.assert_array_equal(first, second)
    assert np.any(first != other)
    # `train_from` gives the same batches.
    stream = again.train_from(5).take(again.steps_per_epoch)
    labels = np.concatenate([y for _, y in stream])
    wanted = np.concatenate([y for _, y, _ in batches_of(few, 5)])
    np.testing.assert_array_equal(labels, wanted)


def test_an_image_that_comes_again_is_seen_in_another_view():
    found = data.load("fashion_mini", **FEW)
    images, _, numbers = map(
        np.concatenate, zip(*batches_of(found, 0), strict=True)
    )
    first = {n: x for n, x in zip(numbers, images, strict=True) if n < 1000}
    pairs = [
        (first[number - 1000], image)
        for number, image in zip(numbers, images, strict=True)
        if number - 1000 in first
    ]
    assert len(pairs) >= 100
    # One view in 162 is the same.
    assert sum(np.array_equal(*pair) for pair in pairs) <= 5


def test_labelled_only_has_as_many_batches(few):
    alone = few.labelled_only()
    assert few.has_unlabelled and not alone.has_unlabelled
    found = batches_of(alone, 0)
    assert len(found) == alone.steps_per_epoch == few.steps_per_epoch
    labels = np.concatenate([labels for _, labels, _ in found])
    assert len(labels) == 1024 and labels.min() >= 0
    everything = data.load("fashion_mini", train_examples=100)
    assert everything.labelled_only() is everything


@pytest.mark.parametrize(("share", "count"), [(None, 32), (0.5, 32), (0.1, 6)])
def test_share_of_a_batch(share, count):
    # Without one: half of 200 images are labelled, which is over a quarter.
    found = data.load(
        "fashion_mini",
        batch_size=64,
        train_examples=200,
        labelled_examples=100,
        labelled_share=share,
    )
    _, labels = next(iter(found.train))
    assert np.sum(labels >= 0) == count


def test_labels_are_mixed_with_labels_only():
    found = data.load("fashion_mini", augment="mixup", **FEW)
    _, labels = next(iter(found.train))
    sums = labels.numpy().sum(1)
    np.testing.assert_allclose(sums[:16], 1.0, atol=1e-6)
    assert np.all(sums[16:] == 0)
    assert np.sum((labels.numpy()[:16] > 0).sum(1) == 2) > 8
    _, one_hot = next(iter(found.validation))
    assert np.all(one_hot.numpy().sum(1) == 1)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """20 labelled gray images of 10x8 and 12 unlabelled ones, told apart."""
    for label, name in enumerate(("cat", "dog")):
        for index in range(10):
            _write(tmp_path / "photos" / name / f"{index}.png", 10 * label)
    for index in range(12):
        place = tmp_path / "photos" / "unlabelled" / str(index % 2)
        _write(place / f"{index}.png", 100 + index)
    return tmp_path / "photos"


def _write(file: Path, value: int, mode: str = "L", size=(8, 10)) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    color = value if mode == "L" else (value, 0, 255)
    PIL.Image.new(mode, size, color).save(file)


def test_a_folder_brings_its_unlabelled_images(folder):
    found = data.load(folder, validation_fraction=0.2, batch_size=8)
    assert found.class_names == ("cat", "dog")
    # 20 labelled ones, less 4 to test and 3 to validate.
    assert found.sizes == {"train": 13 + 12, "validation": 3, "test": 4}
    assert found.labelled_examples == 13
    images, labels = found.examples("train", 25)
    shades = images[:, 0, 0, 0]
    assert set(shades[labels == -1]) == set(range(100, 112))
    np.testing.assert_array_equal(shades[labels >= 0], 10 * labels[labels >= 0])


def test_unlabelled_images_of_another_folder(folder, tmp_path):
    moved = folder.rename(tmp_path / "moved") / "unlabelled"
    other = moved.rename(tmp_path / "other")
    found = data.load(tmp_path / "moved", unlabelled=other, batch_size=8)
    assert found.sizes["train"] - found.labelled_examples == 12


def test_labels_may_be_taken_away_beside_them(folder):
    found = data.load(folder, labelled_examples=4, batch_size=8)
    assert found.labelled_examples == 4 and found.sizes["train"] > 16
    images, labels = next(iter(found.train))
    assert images.shape[0] == 8 and np.sum(labels >= 0) == 2


@pytest.mark.parametrize(
    ("mode", "size", "message"),
    [
        ("L", (8, 8), "images of 8x8 pixels"),
        ("RGB", (8, 10), "color images"),
        (None, None, "There are no images in"),
    ],
)
def test_what_does_not_fit_is_refused(folder, tmp_path, mode, size, message):
    other = tmp_path / "other"
    other.mkdir()
    if mode:
        _write(other / "a.png", 5, mode, size)
    with pytest.raises(InputError, match=message):
        data.load(folder, unlabelled=other)


def test_sizes_that_differ_are_resized_where_it_was_asked_for(folder, tmp_path):
    _write(tmp_path / "other" / "a.png", 5, "L", (20, 30))
    found = data.load(folder, unlabelled=tmp_path / "other", image_size=(6, 6))
    assert found.labelled_examples == found.sizes["train"] - 1


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"labelled_examples": 0}, "labelled_examples"),
        ({"labelled_examples": 4500}, "fewer than the 4500 labelled"),
        ({"labelled_share": 0.5}, "all training images have labels"),
        ({"labelled_examples": 9, "labelled_share": 1.0}, "labelled_share"),
        (
            {"labelled_examples": 9, "labelled_share": 0.001},
            "in every batch",
        ),
        ({"labelled_examples": 9, "batch_size": 1}, "larger batch_size"),
        ({"unlabelled": "nowhere"}, "a folder of images"),
    ],
)
def test_bad_settings(changes, message):
    with pytest.raises(InputError, match=message):
        data.load("fashion_mini", **changes)
