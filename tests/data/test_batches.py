"""Batches as a function of (seed, epoch, step)."""

import hashlib
import itertools
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from keras_ft.data.batches import IndexedBatches
from keras_ft.data.batches import fetch_from_file
from keras_ft.data.batches import split_in_memory
from keras_ft.data.normalization import Normalization
from keras_ft.data.splits import Split

COUNT = 50
# The identity of an image is its constant pixel value.
IMAGES = np.broadcast_to(
    np.arange(COUNT, dtype=np.uint8)[:, None, None, None], (COUNT, 8, 8, 3)
).copy()
LABELS = np.arange(COUNT, dtype=np.int32)
# Every kind of augmentation, with and without mixing.
AUGMENTED = [
    {"augment": "crop+flip"},
    {"augment": "flip+randaugment+mixup+cutmix", "one_hot": COUNT},
]
PIXELS = Normalization((0.0,) * 3, (1 / 255,) * 3)


def batches(**changes: Any) -> IndexedBatches:
    settings: dict[str, Any] = {
        "split": split_in_memory(IMAGES, LABELS),
        "image_shape": (8, 8, 3),
        "normalization": PIXELS,
        "batch_size": 16,
    }
    return IndexedBatches(**{**settings, **changes})


def labels_of(dataset: tf.data.Dataset) -> list[int]:
    return [int(y) for _, labels in dataset for y in labels]


def digest(dataset: tf.data.Dataset) -> str:
    found = hashlib.sha256()
    for images, labels in dataset:
        found.update(images.numpy().tobytes() + labels.numpy().tobytes())
    return found.hexdigest()


def epoch(found: IndexedBatches, number: int) -> tf.data.Dataset:
    return found.stream(number).take(found.steps)


def test_ordered_is_every_image_once_in_order() -> None:
    found = batches()
    assert labels_of(found.ordered()) == list(range(COUNT))
    assert found.ordered().cardinality() == found.steps == 4
    for images, labels in found.ordered():
        assert images.dtype == tf.float32 and labels.dtype == tf.int32
        np.testing.assert_allclose(images[:, 3, 3, 1], labels, atol=1e-4)


def test_an_epoch_is_a_permutation_with_matching_images() -> None:
    found = batches()
    for dataset in (found.shuffled(), epoch(found, 0), epoch(found, 7)):
        assert labels_of(dataset) != list(range(COUNT))
        assert sorted(labels_of(dataset)) == list(range(COUNT))
        for images, labels in dataset:
            np.testing.assert_allclose(images[:, 3, 3, 1], labels, atol=1e-4)


def test_positions_select_and_labels_follow() -> None:
    chosen = np.array([7, 3, 40])
    found = batches(split=batches().split.take(chosen))
    for images, labels in found.shuffled():
        np.testing.assert_allclose(images[:, 3, 3, 1], labels, atol=1e-4)
    assert labels_of(found.ordered()) == [7, 3, 40]


def test_augmentation_reaches_training_only() -> None:
    found = batches(augment="crop+flip")
    assert all(np.ptp(x[0]) == 0 for x, _ in found.ordered())
    # Of 50 constant images some get a border of zero padding.
    assert any(np.ptp(x, (1, 2, 3)).any() for x, _ in found.shuffled())


def test_an_image_is_mixed_with_the_next_one_and_so_is_its_label() -> None:
    found = batches(augment="mixup", one_hot=COUNT)
    plain = epoch(batches(), 3)
    shares: list[float] = []
    for (images, rows), (pure, labels) in zip(
        epoch(found, 3), plain, strict=True
    ):
        assert rows.dtype == tf.float32 and rows.shape == (len(pure), COUNT)
        labels = labels.numpy()
        following = np.roll(labels, -1)
        weights = np.take_along_axis(rows.numpy(), labels[:, None], 1)[:, 0]
        others = np.take_along_axis(rows.numpy(), following[:, None], 1)[:, 0]
        np.testing.assert_allclose(weights + others, 1, atol=1e-6)
        expected = weights * labels + others * following
        np.testing.assert_allclose(images[:, 0, 0, 0], expected, atol=1e-3)
        shares.extend(weights)
    # One for each image, anywhere from 0 to 1.
    assert np.ptp(shares) > 0.8
    for _, rows in found.ordered():
        assert set(np.unique(rows)) == {0.0, 1.0}
    np.testing.assert_array_equal(
        np.concatenate([rows for _, rows in found.ordered()]), np.eye(COUNT)
    )


def test_numbers_are_those_of_the_images_mixed_into() -> None:
    found = batches(augment="cutmix", one_hot=COUNT)
    numbered = found.numbered(tf.data.Dataset.range(3, 4))
    plain = epoch(found, 3)
    known = epoch(batches(), 3)
    for (x, y, numbers, _), (x2, y2), (_, labels) in zip(
        numbered, plain, known, strict=True
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)
        np.testing.assert_array_equal(numbers, labels)


@pytest.mark.parametrize("augmented", AUGMENTED)
def test_resuming_at_an_epoch_gives_the_uninterrupted_batches(
    augmented: dict[str, Any],
) -> None:
    found = batches(**augmented)
    whole = list(found.stream(0).take(4 * found.steps))
    later = list(found.stream(2).take(2 * found.steps))
    for (x, y), (x2, y2) in zip(whole[8:], later, strict=True):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_epochs_and_seeds_differ_and_repeat() -> None:
    found = [
        digest(epoch(batches(augment="crop+flip", seed=seed), number))
        for seed in (0, 1, 2**40)
        for number in (0, 1)
    ]
    assert len(set(found)) == 6
    assert (
        digest(epoch(batches(augment="crop+flip", seed=2**40), 1)) == found[-1]
    )


def test_shuffled_is_new_each_time_and_the_same_for_the_seed() -> None:
    first, second = (
        batches(augment="crop+flip", seed=3).shuffled() for _ in "ab"
    )
    orders = [digest(first) for _ in range(3)]
    assert len(set(orders)) == 3
    assert [digest(second) for _ in range(3)] == orders
    assert digest(batches(augment="crop+flip", seed=4).shuffled()) not in orders


def test_the_global_seed_changes_nothing() -> None:
    found = []
    for global_seed in (1, 2):
        tf.random.set_seed(global_seed)
        found.append(digest(batches(augment="crop+flip", seed=3).shuffled()))
    assert found[0] == found[1]


@pytest.mark.parametrize("place", range(len(AUGMENTED)))
def test_another_process_gives_the_same_batches(place: int) -> None:
    found = batches(**AUGMENTED[place], seed=11)
    here = digest(epoch(found, 5)), digest(found.shuffled())
    code = (
        "from tests.data.test_batches import *\n"
        f"found = batches(**AUGMENTED[{place}], seed=11)\n"
        "print(digest(epoch(found, 5)), digest(found.shuffled()))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
    )
    assert tuple(done.stdout.split()) == here


def test_drop_remainder_makes_shapes_static() -> None:
    found = batches(drop_remainder=True)
    assert found.steps == 3
    for dataset in (found.shuffled(), found.stream(0)):
        images, labels = dataset.element_spec
        assert images.shape == (16, 8, 8, 3) and labels.shape == (16,)
    assert len(labels_of(found.shuffled())) == 48
    open_ended = batches().shuffled().element_spec[0]
    assert open_ended.shape.as_list() == [None, 8, 8, 3]


def test_cardinality_is_known_so_keras_can_show_an_eta() -> None:
    assert batches().shuffled().cardinality() == 4
    assert batches(drop_remainder=True).shuffled().cardinality() == 3


def test_no_tuner_holds_up_the_end_of_fit() -> None:
    made = batches()
    for dataset in (made.ordered(), made.shuffled(), made.stream(3)):
        assert dataset.options().autotune.enabled is False


@pytest.mark.parametrize("name", ["shuffled", "stream"])
def test_two_replicas_share_the_batches_of_one(
    name: str, two_devices: list[str]
) -> None:
    found = batches(augment="crop+flip", drop_remainder=True, seed=5)
    make = {"shuffled": found.shuffled, "stream": lambda: found.stream(0)}[name]
    strategy = tf.distribute.MirroredStrategy(two_devices)
    shared = strategy.experimental_distribute_dataset(make())
    pairs = zip(itertools.islice(shared, 3), make().take(3), strict=True)
    for (images, labels), (expected, expected_labels) in pairs:
        parts = strategy.experimental_local_results(images)
        assert [len(part) for part in parts] == [8, 8]
        np.testing.assert_array_equal(np.concatenate(parts), expected)
        parts = strategy.experimental_local_results(labels)
        np.testing.assert_array_equal(np.concatenate(parts), expected_labels)


def anonymous_bytes() -> int:
    """Return this process's memory that is no page of a file."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("RssAnon"):
            return int(line.split()[1]) * 1024
    raise AssertionError("no RssAnon")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_file_of_images_is_not_copied_into_memory(tmp_path: Path) -> None:
    shape = (400, 256, 256, 3)
    with (tmp_path / "pixels").open("wb") as file:
        for index in range(400):
            file.write(bytes([index % 256]) * (256 * 256 * 3))
    split = Split(
        fetch_from_file(tmp_path / "pixels", shape),
        np.zeros(400, np.int32),
        np.arange(400),
    )
    found = batches(split=split, batch_size=2, image_shape=shape[1:])
    for _ in found.ordered().take(1):
        pass
    before = anonymous_bytes()
    for step, (images, _) in enumerate(found.ordered().take(20)):
        assert images[0, 0, 0, 0].numpy() == pytest.approx(2 * step)
    for _ in found.shuffled().take(20):
        pass
    # 79 MB of images; the batches in flight are 1.5 MB each.
    assert anonymous_bytes() - before < 40e6
