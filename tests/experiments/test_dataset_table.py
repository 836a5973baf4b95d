"""The table of a folder's images, which is printed before training."""

import PIL.Image
import pytest

from keras_ft import data
from keras_ft import experiments
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.datasets import note_dataset
from keras_ft.experiments.datasets import table
from keras_ft.recipes import Recipe


@pytest.fixture
def photos(tmp_path):
    def write(**counts):
        for name, count in counts.items():
            folder = tmp_path / "photos" / name
            folder.mkdir(parents=True)
            for index in range(count):
                PIL.Image.new("RGB", (6, 4)).save(folder / f"{index}.png")
        return tmp_path / "photos"

    return write


def test_files_classes_splits_size_and_notes(photos):
    folder = photos(cat=20, dog=40, unlabelled=7)
    (folder / "cat" / "a.heic").write_bytes(b"whatever")
    (folder / "dog" / ".DS_Store").write_bytes(b"whatever")
    assert table(data.load(folder)) == [
        "photos: 60 files used, not used 1 .heic, 1 hidden; 4x6 pixels in "
        "color",
        "class            training  validation  test",
        "cat                    16           2     2",
        "dog                    33           3     4",
        "without a label         7",
        "in all                 56           5     6",
        "Left out of the class folders: 1 .heic, which Pillow does not read.",
        "The source has no test split: one was cut from train.",
        "",
    ]


def test_many_classes_are_cut_short(photos):
    lines = table(data.load(photos(**{f"c{i:02}": 4 for i in range(30)})))
    assert len([line for line in lines if line.startswith("c")]) == 20
    assert lines[21] == "and 11 more classes"


def test_other_sources_have_none():
    assert table(data.load("fashion_mini")) == []


def test_it_is_told_once_when_a_run_begins(photos, tmp_path):
    told = []
    settings = experiments.Settings(
        recipe=Recipe.preset("official"),
        dataset=str(photos(cat=20, dog=20)),
        teacher_network="resnet8",
    )
    load = Loader(settings, echo=told.append)
    for batch_size in (8, 16):
        data = load(batch_size)
    assert told[0] == "photos: 40 files used; 4x6 pixels in color"
    assert told[4] == "in all        32           4     4"
    # Every training of a comparison notes it.
    configuration = {"command": "distill"}
    with experiments.RunFolder(
        tmp_path / "run", configuration, echo=told.append
    ) as run:
        note_dataset(run, data)
    assert told.count(told[0]) == 1
