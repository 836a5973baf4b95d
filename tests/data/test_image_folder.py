"""A user's own images."""

import shutil
import tempfile
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import tensorflow as tf

from keras_ft import data
from keras_ft.data import image_files
from keras_ft.errors import InputError


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


def test_pixels_are_in_a_file_that_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path / "photos")
    (tmp_path / "temporary").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    found = data.load(tmp_path / "photos", batch_size=5)
    assert list((tmp_path / "temporary").iterdir()) == []
    before = [images.numpy() for images, _ in found.train_from(0).take(8)]
    shutil.rmtree(tmp_path / "photos")
    for images, (again, _) in zip(
        before, found.train_from(0).take(8), strict=True
    ):
        np.testing.assert_array_equal(images, again)


def test_too_little_room_is_refused_before_anything_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path)
    usage = shutil.disk_usage(tmp_path)
    needed = 20 * 10 * 8 * 3
    for free in (needed - 1, needed):
        monkeypatch.setattr(
            shutil,
            "disk_usage",
            lambda path, free=free: type(usage)(usage.total, 0, free),
        )
        if free < needed:
            with pytest.raises(InputError, match="TMPDIR"):
                data.load(tmp_path)
        else:
            assert data.load(tmp_path).sizes["train"] == 16


def test_a_disk_that_fails_is_not_the_images_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_class_folders(tmp_path)

    def full(file: image_files.PixelFile, index: int, pixels: object) -> None:
        raise image_files.DiskError("No space left on device")

    monkeypatch.setattr(image_files.PixelFile, "write", full)
    with pytest.raises(InputError, match=r"No space left .* TMPDIR"):
        data.load(tmp_path, skip_unreadable=True)


def test_pipelines_hold_no_python_and_run_on_every_device(
    tmp_path: Path, two_devices: list[str]
) -> None:
    write_class_folders(tmp_path)
    unlabelled = tmp_path / "unlabelled"
    for index in range(6):
        write(unlabelled / f"{index}.png", 200 + index)
    found = data.load(tmp_path, batch_size=4)
    epochs = tf.data.Dataset.range(2)
    for pipeline in (found.train, found.test, found.numbered("train", epochs)):
        graph = tf.raw_ops.DatasetToGraphV2(
            input_dataset=tf.data.experimental.to_variant(pipeline)
        )
        assert b"PyFunc" not in graph.numpy()
    strategy = tf.distribute.MirroredStrategy(two_devices)
    shared = strategy.experimental_distribute_dataset(found.test)
    reds = [
        image.numpy()
        for images, _ in shared
        for image in strategy.experimental_local_results(images)
    ]
    alone = np.concatenate([images for images, _ in found.test])
    np.testing.assert_array_equal(np.concatenate(reds), alone)


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    damaged = tmp_path / "dog" / "5.png"
    content = damaged.read_bytes()
    for wrong in (b"no image", content[:45]):
        damaged.write_bytes(wrong)
        with pytest.raises(InputError, match="dog.5.png"):
            data.load(tmp_path)


def test_all_damaged_files_are_named_at_once_or_skipped(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    # Cut in the pixels, cut before them, empty, and something else.
    whole = (tmp_path / "cat" / "0.png").read_bytes()
    for name, content in {
        "cat/cut.png": whole[:45],
        "cat/header.png": whole[:20],
        "dog/empty.jpg": b"",
        "dog/text.webp": b"<html>not found</html>",
    }.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError) as caught:
        data.load(tmp_path)
    names = "cat/cut.png, cat/header.png, dog/empty.jpg, dog/text.webp"
    assert names in str(caught.value)
    assert "--skip_unreadable" in str(caught.value)
    found = data.load(tmp_path, skip_unreadable=True)
    assert sum(found.sizes.values()) == 20
    assert found.notes[0] == f"4 unreadable files were left out: {names}."
    assert found.files == {"read": 20, "unreadable": 4}


def test_many_damaged_files_are_counted(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    for index in range(13):
        (tmp_path / "cat" / f"bad{index:02}.jpg").write_bytes(b"")
    with pytest.raises(InputError, match=r"13 files .*bad09.jpg, 3 more"):
        data.load(tmp_path)


def test_a_class_that_loses_all_its_images_is_refused(tmp_path: Path) -> None:
    write_class_folders(tmp_path)
    (tmp_path / "fox").mkdir()
    (tmp_path / "fox" / "0.jpg").write_bytes(b"")
    with pytest.raises(InputError, match="class fox"):
        data.load(tmp_path, skip_unreadable=True)


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
