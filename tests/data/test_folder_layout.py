"""Folders as people have them: which are splits, which are classes."""

import sys
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from keras_ft import data
from keras_ft.data.folder_layout import split_of
from keras_ft.errors import InputError

NONE = frozenset()


def fill(folder: Path, count: int = 10, value: int = 0) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(count):
        image = PIL.Image.new("RGB", (4, 4), (value, index, 0))
        image.save(folder / f"{index}.png")


def fill_classes(folder: Path, count: int = 10, names=("cat", "dog")) -> None:
    for label, name in enumerate(names):
        fill(folder / name, count, 50 * label)


def load(folder: Path, **settings) -> data.ImageData:
    found = data.load(folder, batch_size=4, **settings)
    # A label is that of the folder the image lies in.
    images, labels = found.examples("train", found.sizes["train"])
    known = labels >= 0
    np.testing.assert_array_equal(images[known, 0, 0, 0] // 50, labels[known])
    return found


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN_SET", "train"),
        ("trainset", "train"),
        ("trainData", "train"),
        ("train2017", "train"),
        ("training_images", "train"),
        ("seg_train", "train"),
        ("val", "validation"),
        ("Valid", "validation"),
        ("validation-set", "validation"),
        ("dev", "validation"),
        ("Testing", "test"),
        ("test1", "test"),
        ("seg_test", "test"),
        ("seg_pred", "predict"),
        ("Unlabeled", "unlabelled"),
        ("trainer", None),
        ("invalid", None),
        ("contest", None),
        ("2019", None),
        ("苹果", None),
    ],
)
def test_names_of_splits(name, split):
    found, others = split_of(name)
    assert found == split
    assert (others == NONE) == (split is not None)


def test_further_words_are_kept():
    assert split_of("asl_alphabet_train") == ("train", {"asl", "alphabet"})


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [
        ("Training", "Validation", "Testing"),
        ("train_set", "val_set", "test_set"),
        ("TRAIN", "VALID", "TEST"),
        ("asl_alphabet_train", "asl_alphabet_val", "asl_alphabet_test"),
        ("seg_train/seg_train", "dev", "seg_test/seg_test"),
    ],
)
def test_split_folders_in_usual_spellings(tmp_path, train, validation, test):
    fill_classes(tmp_path / train, 5)
    fill_classes(tmp_path / validation, 2)
    fill_classes(tmp_path / test, 3)
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.sizes == {"train": 10, "validation": 4, "test": 6}
    assert found.notes == ()


def test_with_train_and_val_alone_val_is_validation(tmp_path):
    fill_classes(tmp_path / "train")
    fill_classes(tmp_path / "val", 3)
    found = load(tmp_path)
    assert found.sizes == {"train": 18, "validation": 6, "test": 2}
    assert found.notes == (
        "The source has no test split: one was cut from train.",
    )


@pytest.mark.parametrize("inside", ["", "test", "unknown", "images"])
def test_a_test_folder_without_classes_is_set_aside(tmp_path, inside):
    fill_classes(tmp_path / "photos" / "train")
    fill(tmp_path / "photos" / "test" / inside, 8)
    fill(tmp_path / "photos" / "seg_pred", 5)
    found = load(tmp_path / "photos")
    assert found.class_names == ("cat", "dog")
    assert sum(found.sizes.values()) == 20
    set_aside, no_class, cut = sorted(found.notes)
    assert set_aside.startswith("The 5 images in photos/seg_pred were set")
    assert no_class.startswith("The 8 images in photos/test were set aside")
    assert "no test split" in cut


@pytest.mark.parametrize("inside", ["archive", "archive/dataset"])
@pytest.mark.parametrize("split", ["", "train"])
def test_a_folder_alone_in_its_folder_is_looked_into(tmp_path, inside, split):
    fill_classes(tmp_path / "photos" / inside / split)
    (tmp_path / "photos" / "readme.txt").write_text("photos of mine")
    found = load(tmp_path / "photos")
    assert found.class_names == ("cat", "dog")
    assert found.notes[0] == f"The images are those in photos/{inside}."
    assert found.files == {"read": 20, ".txt": 1}


def test_a_class_may_have_folders_of_its_own(tmp_path):
    fill_classes(tmp_path, 4)
    fill(tmp_path / "cat" / "2019", 3)
    assert sum(load(tmp_path).sizes.values()) == 11


@pytest.mark.parametrize("names", [("car", "train"), ("bike", "bullet train")])
def test_trains_may_be_a_class(tmp_path, names):
    fill_classes(tmp_path, names=names)
    assert load(tmp_path).class_names == names


def test_valid_and_invalid_may_be_classes(tmp_path):
    fill_classes(tmp_path, names=("invalid", "valid"))
    assert load(tmp_path).class_names == ("invalid", "valid")


@pytest.mark.parametrize(
    "names", [("test", "train"), ("Testing", "Training"), ("x_test", "x_train")]
)
def test_splits_without_classes_are_never_classes(tmp_path, names):
    fill_classes(tmp_path, names=names)
    with pytest.raises(InputError, match="not two or more class folders"):
        data.load(tmp_path)


def test_two_folders_of_one_split_are_refused(tmp_path):
    fill_classes(tmp_path / "train")
    fill_classes(tmp_path / "val")
    fill_classes(tmp_path / "valid")
    with pytest.raises(InputError, match="val and valid. Keep one"):
        data.load(tmp_path)


def test_litter_is_passed_over(tmp_path):
    fill_classes(tmp_path)
    copies = ".ipynb_checkpoints", "__MACOSX/cat", "@eaDir", "cat/@eaDir"
    for folder in (*copies, "cat/.ipynb_checkpoints", "dog/.thumbnails"):
        fill(tmp_path / folder, 1)
    for name in (".DS_Store", "cat/._0.png", "cat/._1.jpg"):
        (tmp_path / name).write_bytes(b"\0\5\x16\7")
    for name in ("dog/Thumbs.db", "dog/desktop.ini", "cat/Icon\r"):
        (tmp_path / name).write_bytes(b"\xd0\xcf\x11\xe0")
    found = load(tmp_path)
    assert found.class_names == ("cat", "dog")
    assert found.files == {"read": 20, "hidden": 12}
    assert len(found.notes) == 1


def test_what_is_left_out_is_counted_by_ending(tmp_path):
    fill_classes(tmp_path)
    for name in ("a.HEIC", "b.heic", "c.mp4", "LICENSE"):
        (tmp_path / "cat" / name).write_bytes(b"whatever")
    found = load(tmp_path)
    assert found.files == {"read": 20, ".heic": 2, ".mp4": 1, "no ending": 1}
    assert found.notes[0] == (
        "Left out of the class folders: 2 .heic, 1 .mp4, 1 no ending, which "
        "Pillow does not read."
    )


def test_images_beside_the_classes_are_left_out(tmp_path):
    fill_classes(tmp_path / "photos")
    fill(tmp_path / "photos", 3)
    found = load(tmp_path / "photos")
    assert sum(found.sizes.values()) == 20
    assert found.notes[0].startswith("3 images beside the class folders in ph")


def test_links_are_followed_but_not_in_circles(tmp_path):
    fill_classes(tmp_path / "elsewhere")
    (tmp_path / "photos").mkdir()
    for name in ("cat", "dog"):
        (tmp_path / "photos" / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere" / "cat" / "again").symlink_to(
        tmp_path / "elsewhere" / "cat"
    )
    assert sum(load(tmp_path / "photos").sizes.values()) == 20


def test_names_are_kept_as_they_are(tmp_path):
    names = ("crème brûlée", "schwarzer Kaffee", "苹果")
    fill_classes(tmp_path, names=names)
    assert load(tmp_path).class_names == names


def test_a_class_is_the_same_in_capitals_and_decomposed(tmp_path):
    fill_classes(tmp_path / "train", names=("Cat", "cr\u00e8me"))
    fill_classes(tmp_path / "test", 2, names=("cat", "cre\u0300me"))
    found = load(tmp_path)
    assert found.class_names == ("Cat", "cr\u00e8me")
    images, labels = found.examples("test", 4)
    np.testing.assert_array_equal(images[:, 0, 0, 0] // 50, labels)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        (" ", "is blank"),
        ("\u00a0\u2003", "is blank"),
        ("\u200b", "is blank"),
        ("a\nb", "control characters"),
        ("a\x1bb", "control characters"),
        ("Cat", "two folders of one class"),
        ("cat ", "two folders of one class"),
    ],
)
def test_names_that_nobody_could_read_or_tell_apart(tmp_path, name, message):
    fill_classes(tmp_path)
    fill(tmp_path / name)
    with pytest.raises(InputError, match=message) as caught:
        data.load(tmp_path)
    assert str(caught.value).isprintable()


def test_an_accent_in_two_spellings_is_one_class(tmp_path):
    fill_classes(tmp_path, names=("cr\u00e8me", "cre\u0300me"))
    with pytest.raises(InputError, match="two folders of one class"):
        data.load(tmp_path)


@pytest.mark.skipif(sys.platform == "darwin", reason="names are UTF-8 there")
def test_a_name_that_is_no_text(tmp_path):
    fill_classes(tmp_path)
    fill(tmp_path / b"caf\xe9".decode("utf-8", "surrogateescape"))
    with pytest.raises(InputError, match="bytes that are no letters"):
        data.load(tmp_path)


def test_a_class_without_images_is_refused(tmp_path):
    fill_classes(tmp_path)
    (tmp_path / "fox").mkdir()
    with pytest.raises(InputError, match="The class fox has no images"):
        data.load(tmp_path)
    (tmp_path / "fox" / "a.heic").write_bytes(b"whatever")
    with pytest.raises(InputError, match="fox, only 1 .heic, which Pillow"):
        data.load(tmp_path)


def test_unlabelled_images_in_other_spellings(tmp_path):
    fill_classes(tmp_path / "Train")
    fill(tmp_path / "Unlabeled", 7)
    found = load(tmp_path)
    assert found.sizes["train"] - found.labelled_examples == 7


def test_all_classes_keep_their_images(tmp_path):
    fill_classes(tmp_path, 4)
    fill(tmp_path / "fox", 0, 100)
    for index in range(6):
        image = PIL.Image.new("RGB", (4, 4), (100, index, 0))
        image.save(tmp_path / "fox" / f"{index}.WebP", lossless=True)
    found = load(tmp_path, validation_fraction=0.2)
    counts = found.class_counts
    assert counts is not None
    assert [
        sum(of_class) for of_class in zip(*counts.values(), strict=True)
    ] == [
        4,
        4,
        6,
    ]
