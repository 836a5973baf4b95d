"""A user's own images."""

import importlib
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from keras_ft import data
from keras_ft.errors import InputError

load_module = importlib.import_module("keras_ft.data.load")


def write(file: Path, value: int, mode: str = "RGB", side: int = 8) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    color = value if mode == "L" else (value, 0, 255)
    PIL.Image.new(mode, (side, side + 2), color).save(file)


def write_class_folders(root: Path, count: int = 10) -> None:
    for label, name in enumerate(("cat", "dog")):
        for index in range(count):
            write(root / name / f"{index}.png", 100 * label + index)


def red_of(images: np.ndarray) -> set[int]:
    return set(images[:, 0, 0, 0].tolist())


def test_one_level_is_split_in_three(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    found = data.load(tmp_path, validation_fraction=0.2, batch_size=4)
    assert found.class_names == ("cat", "dog")
    assert found.input_shape == (10, 8, 3)
    assert found.sizes == {"train": 13, "validation": 3, "test": 4}
    assert "no test split" in found.notes[0]
    parts = {
        split: found.examples(split, size)
        for split, size in found.sizes.items()
    }
    for images, labels in parts.values():
        np.testing.assert_array_equal(images[:, 0, 0, 0] // 100, labels)
    assert len(set.union(*(red_of(x) for x, _ in parts.values()))) == 20


def test_split_folders_and_val_as_a_name(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train")
    write_class_folders(tmp_path / "val", count=3)
    write_class_folders(tmp_path / "test", count=2)
    found = data.load(tmp_path)
    assert found.sizes == {"train": 20, "validation": 6, "test": 4}
    assert found.notes == ()


def test_grey_images_stay_grey_and_mixed_ones_become_rgb(
    tmp_path: Path,
) -> None:
    for index in range(10):
        write(tmp_path / "grey" / "a" / f"{index}.png", index, "L")
        write(tmp_path / "grey" / "b" / f"{index}.jpg", index, "L")
    assert data.load(tmp_path / "grey").input_shape[-1] == 1
    write(tmp_path / "grey" / "a" / "color.png", 7)
    assert data.load(tmp_path / "grey").input_shape[-1] == 3


def test_sizes_must_agree_or_be_given(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    write(tmp_path / "dog" / "large.jpg", 50, side=20)
    with pytest.raises(InputError) as caught:
        data.load(tmp_path)
    assert caught.value.argument == "image_size"
    found = data.load(tmp_path, image_size=(6, 12))
    assert found.input_shape == (6, 12, 3)
    images, _ = found.examples("train", found.sizes["train"])
    # Constant images stay constant when resized.
    assert np.all(images == images[:, :1, :1])


def test_beyond_the_memory_limit_files_are_read_when_needed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path)
    held = data.load(tmp_path, batch_size=5)
    monkeypatch.setattr(load_module, "MEMORY_LIMIT", 100)
    read = data.load(tmp_path, batch_size=5)
    assert read.normalization == held.normalization
    for (x, y), (x2, y2) in zip(
        held.train_from(0).take(8), read.train_from(0).take(8), strict=True
    ):
        np.testing.assert_array_equal(x, x2)
        np.testing.assert_array_equal(y, y2)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    damaged = tmp_path / "dog" / "5.png"
    content = damaged.read_bytes()
    for wrong in (b"no image", content[:45]):
        damaged.write_bytes(wrong)
        with pytest.raises(InputError, match="dog.5.png"):
            data.load(tmp_path)


def test_folders_laid_out_otherwise(tmp_path: Path) -> None:
    write_class_folders(tmp_path / "train")
    write_class_folders(tmp_path / "test")
    (tmp_path / "test" / "mouse").mkdir()
    with pytest.raises(InputError, match="mouse"):
        data.load(tmp_path)
    write(tmp_path / "other" / "only_one" / "1.png", 1)
    with pytest.raises(InputError, match="two or more class folders"):
        data.load(tmp_path / "other")
    for name in "ab":
        (tmp_path / "empty" / name).mkdir(parents=True)
    with pytest.raises(InputError, match="no images"):
        data.load(tmp_path / "empty")
