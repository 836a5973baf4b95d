"""TFDS sets: a small prepared one, mock data, and what is refused."""

import hashlib
import importlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from keras_ft import data
from keras_ft.data import normalization
from keras_ft.data import reachability
from keras_ft.errors import InputError

tfds = pytest.importorskip("tensorflow_datasets")
load_module = importlib.import_module("keras_ft.data.load")


class KerasFtTiny(tfds.core.GeneratorBasedBuilder):
    """60 + 20 constant images; the value is the number of the image."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self) -> Any:
        features = {
            "image": tfds.features.Image(shape=(8, 8, 3)),
            "name": tfds.features.Text(),
            "label": tfds.features.ClassLabel(names=["low", "odd", "high"]),
        }
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features)
        )

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        return {
            "train": self._generate_examples(0, 60),
            "validation": self._generate_examples(60, 80),
            "test": self._generate_examples(80, 84, label=-1),
        }

    def _generate_examples(
        self, first: int, last: int, label: int | None = None
    ) -> Iterator[tuple[int, dict[str, Any]]]:
        for i in range(first, last):
            image = np.full((8, 8, 3), i, np.uint8)
            wanted = i % 3 if label is None else label
            yield i, {"image": image, "name": str(i), "label": wanted}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tfds")
    tfds.display_progress_bar(False)
    KerasFtTiny(data_dir=path).download_and_prepare()
    return path


def values(dataset: Any, found: data.ImageData) -> list[int]:
    """The images' numbers, in order; labels are checked on the way."""
    numbers = []
    for images, labels in dataset:
        mean, std = found.normalization.mean[0], found.normalization.std[0]
        pixels = np.rint((images.numpy()[:, 4, 4, 0] * std + mean) * 255)
        np.testing.assert_array_equal(pixels % 3, labels)
        numbers += pixels.astype(int).tolist()
    return numbers


@pytest.fixture(params=["in memory", "streamed"])
def found(
    request: pytest.FixtureRequest,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> data.ImageData:
    if request.param == "streamed":
        monkeypatch.setattr(load_module, "MEMORY_LIMIT", 1000)
    return data.load(
        "keras_ft_tiny", 16, folder, augment=False, validation_fraction=0.2
    )


def test_splits_are_complete_and_disjoint(found: data.ImageData) -> None:
    # The unlabelled test split is passed over, so validation serves as test.
    assert found.sizes == {"train": 48, "validation": 12, "test": 20}
    assert found.class_names == ("low", "odd", "high")
    train, validation, test = (
        values(part, found)
        for part in (found.train, found.validation, found.test)
    )
    assert sorted(train + validation) == list(range(60))
    assert sorted(test) == list(range(60, 80))
    assert found.notes
    assert found.train.cardinality() == found.steps_per_epoch == 3


def test_epochs_are_seeded_and_resumable(found: data.ImageData) -> None:
    steps = found.steps_per_epoch
    whole = values(found.train_from(0).take(3 * steps), found)
    assert values(found.train_from(2).take(steps), found) == whole[96:]
    assert whole[:48] != whole[48:96]
    assert sorted(whole[:48]) == sorted(whole[48:96])


def test_examples_of_both_kinds(found: data.ImageData) -> None:
    images, labels = found.examples("train", 8, seed=1)
    assert images.shape == (8, 8, 8, 3) and images.dtype == np.uint8
    np.testing.assert_array_equal(images[:, 0, 0, 0] % 3, labels)
    assert len(np.unique(images[:, 0, 0, 0])) == 8


def test_streamed_augmentation_and_few_examples(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_module, "MEMORY_LIMIT", 1000)
    few = data.load(
        "keras_ft_tiny", 4, folder, train_examples=12, drop_remainder=True
    )
    assert few.sizes["train"] == 12 and few.steps_per_epoch == 3
    assert few.train.element_spec[0].shape == (4, 8, 8, 3)
    images = np.concatenate([x for x, _ in few.train_from(0).take(9)])
    assert np.ptp(images, (1, 2, 3)).any()
    with pytest.raises(InputError, match="train_examples"):
        data.load("keras_ft_tiny", 4, folder, train_examples=61)


def test_streamed_order_and_pixels_are_those_of_every_version(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Values of version 610c393: a training goes on with them."""
    monkeypatch.setattr(load_module, "MEMORY_LIMIT", 1000)
    arguments = ("keras_ft_tiny", 16, folder)
    plain = data.load(*arguments, augment=False, validation_fraction=0.2)
    assert values(plain.train_from(1).take(1), plain) == [
        *(39, 17, 5, 32, 3, 18, 49, 1, 27, 48, 53, 0, 8, 23, 52, 55),
    ]
    assert values(plain.train.take(1), plain) == [
        *(15, 34, 53, 6, 26, 22, 54, 5, 45, 55, 35, 3, 21, 16, 30, 10),
    ]
    found = data.load(*arguments, validation_fraction=0.2)
    mean, std = found.normalization.mean[0], found.normalization.std[0]
    content = hashlib.sha256()
    for images, _ in found.train_from(1).take(3):
        pixels = np.rint((images.numpy() * std + mean) * 255)
        content.update(pixels.astype(np.uint8).tobytes())
    assert content.hexdigest()[:16] == "4ef8385d08502a97"


def test_resized(folder: Path) -> None:
    found = data.load("keras_ft_tiny", 16, folder, image_size=(12, 10))
    assert found.input_shape == (12, 10, 3)
    assert sorted(values(found.test, found)) == list(range(60, 80))


def test_statistics_are_those_of_the_whole_train_split(folder: Path) -> None:
    pixels = np.arange(60) / 255
    for seed in (0, 1):
        found = data.load("keras_ft_tiny", 16, folder, seed=seed)
        assert found.normalization.mean == pytest.approx((pixels.mean(),) * 3)
        assert found.normalization.std == pytest.approx((pixels.std(),) * 3)


@pytest.mark.parametrize("limit", [2**30, 1000])
def test_mock_data_of_a_set_with_two_labels(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: int
) -> None:
    info = tfds.builder("cifar100", data_dir=tmp_path).info
    splits = [
        tfds.core.SplitInfo(
            name=name,
            shard_lengths=[40],
            num_bytes=0,
            filename_template=tfds.core.ShardedFileTemplate(
                dataset_name="cifar100",
                data_dir=info.data_dir,
                split=name,
                filetype_suffix="tfrecord",
            ),
        )
        for name in ("train", "test")
    ]
    info.set_splits(tfds.core.splits.SplitDict(splits))
    Path(info.data_dir).mkdir(parents=True)
    info.write_to_directory(info.data_dir)
    monkeypatch.setattr(load_module, "MEMORY_LIMIT", limit)
    with tfds.testing.mock_data(num_examples=40, data_dir=str(tmp_path)):
        found = data.load("cifar100", 8, tmp_path)
        assert found.classes == 100
        assert found.sizes == {"train": 36, "validation": 4, "test": 40}
        images, labels = next(iter(found.train))
    assert images.shape == (8, 32, 32, 3)
    assert 0 <= int(min(labels)) and int(max(labels)) < 100


def test_without_network_the_answer_is_quick(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def unreachable(urls: Any) -> str:
        asked.extend(urls)
        return "the.host: no answer"

    monkeypatch.setattr(reachability, "unreachable", unreachable)
    began = time.monotonic()
    with pytest.raises(InputError, match="the.host: no answer") as caught:
        data.load("cifar100", data_dir=tmp_path)
    assert time.monotonic() - began < 10
    assert str(tmp_path) in str(caught.value)
    assert len(asked) == 1


def test_a_file_downloaded_by_hand_needs_no_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        reachability, "unreachable", lambda urls: "|".join(urls)
    )
    by_hand = tmp_path / "downloads/manual/cifar-100-binary.tar.gz"
    by_hand.parent.mkdir(parents=True)
    by_hand.write_bytes(b"not the archive")
    # Gets as far as TFDS' own check of the file.
    with pytest.raises(InputError, match="could not prepare"):
        data.load("cifar100", data_dir=tmp_path)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("cifarr10", "Did you mean .*cifar10"),
        ("fashion_mni", "fashion_mini"),
        ("glue", "image and a class label"),
        ("coco/2017", "image and a class label"),
        ("imagenet2012", "image_size"),
        ("zzzzzz", "Check the name"),
    ],
)
def test_names_that_cannot_be_loaded(
    tmp_path: Path, name: str, message: str
) -> None:
    with pytest.raises(InputError, match=message):
        data.load(name, data_dir=tmp_path)


def test_a_set_to_be_fetched_by_hand_says_how(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="ILSVRC2012_img_train.tar"):
        data.load("imagenet2012", data_dir=tmp_path, image_size=(64, 64))


@pytest.mark.long
def test_real_cifar10(tfds_folder: Path) -> None:
    found = data.load("cifar10", data_dir=tfds_folder, validation_fraction=0)
    assert found.sizes == {
        "train": 50_000,
        "validation": 10_000,
        "test": 10_000,
    }
    assert found.normalization == normalization.CIFAR10
    assert found.steps_per_epoch == 391
    labels = np.concatenate([y for _, y in found.test])
    assert np.bincount(labels).tolist() == [1000] * 10
