"""A folder of few photos: what checks its file, and what is refused."""

import numpy as np
import PIL.Image
import pytest

from keras_ft import data
from keras_ft import experiments
from keras_ft.errors import InputError
from keras_ft.experiments import exporting
from keras_ft.recipes import Recipe


@pytest.fixture
def photos(tmp_path):
    def write(count, unlabelled=0):
        draw = np.random.default_rng(0)
        folder = tmp_path / "photos"
        for index in range(count + unlabelled):
            name = ("cat", "dog")[index % 2]
            file = folder / name / f"{index}.png"
            if index >= count:
                file = folder / "unlabelled" / f"{index}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            pixels = draw.integers(0, 256, (8, 8, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(file)
        return folder

    return write


@pytest.mark.parametrize(
    ("count", "share", "words", "samples"),
    [
        (100, 0.4, "40 test images", 40),
        (60, 0.4, "24 test and 14 validation images", 38),
        (40, 0.1, "4 test, 4 validation and 32 training images", 40),
    ],
)
def test_what_there_is_checks_the_file(
    photos, network, tmp_path, count, share, words, samples
):
    loaded = data.load(photos(count), validation_fraction=share)
    student = network(classes=2)
    result = exporting.export_student(
        student, tmp_path / "student.tflite", loaded, "none"
    )
    assert (result["checked_on"], result["samples"]) == (words, samples)
    assert exporting.checked_on(result) == words


def test_no_image_checks_twice(photos):
    # Validation is the test split.
    folder = photos(40)
    for split, count in (("train", 17), ("test", 3)):
        for name in ("cat", "dog"):
            (folder / split / name).mkdir(parents=True)
            for file in sorted((folder / name).iterdir())[:count]:
                file.rename(folder / split / name / file.name)
    loaded = data.load(folder, validation_fraction=0)
    images, labels, words = exporting._checking_images(loaded, 512)
    assert words == "6 test and 34 training images"
    assert len(np.unique(images, axis=0)) == len(labels) == 40


def test_images_without_a_label_calibrate_but_do_not_check(photos):
    loaded = data.load(photos(20, unlabelled=30))
    found, _ = exporting._images(loaded, 512)
    assert len(found["samples"]) == 20
    assert set(found["labels"]) == {0, 1}
    assert len(found["calibration"]) == 46


def test_too_few_to_check_are_refused_before_any_training(
    photos, network, tmp_path
):
    teacher = tmp_path / "teacher.keras"
    network(classes=2).save(teacher)
    settings = {
        "recipe": Recipe.preset("official").short(1, 1),
        "dataset": str(photos(10)),
        "teacher": str(teacher),
        "student": str(teacher),
    }
    with pytest.raises(InputError, match="32 in all at least") as caught:
        experiments.distill(
            tmp_path / "run", experiments.Settings(**settings), echo=print
        )
    received = "1 test, 1 validation and 8 training images with labels"
    assert caught.value.received == received
    assert not (tmp_path / "run" / "teacher.keras").exists()
