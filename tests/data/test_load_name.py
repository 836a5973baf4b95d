"""A mistyped folder is no data set of TFDS."""

import subprocess
import sys
from pathlib import Path

import pytest

from keras_ft import data
from keras_ft.data.load_name import check_name
from keras_ft.errors import InputError


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "photos" / "train").mkdir(parents=True)
    (tmp_path / "photos.zip").write_bytes(b"PK")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("./photoss", "photos"),
        ("../nowhere/photos", None),
        ("~/no_such_folder_of_photos", None),
        ("~nobody_of_that_name/photos", None),
        ("photos/trian", "photos/train"),
        ("photos/cats", None),
        ("photoss/train", "photos/train"),
        ("my-photos", "photos"),
        ("my photos", "photos"),
        ("zz.d", None),
        ("C:\\photos", "photos"),
        ("nothing/", None),
        (Path("photoss"), "photos"),
        (Path("elsewhere"), None),
    ],
)
def test_a_mistyped_folder(here, name, near):
    with pytest.raises(InputError) as caught:
        data.load(name)
    end = f"Did you mean {near}?" if near else "Check the path."
    assert str(caught.value) == f"There is no folder {name}. {end}"


def test_an_absolute_path_is_proposed_whole(here):
    with pytest.raises(InputError, match=f"Did you mean {here / 'photos'}?"):
        check_name(str(here / "photo"))


def test_no_name_is_not_this_folder(here):
    with pytest.raises(InputError, match="is empty"):
        data.load("")


def test_an_archive_is_no_folder(here):
    with pytest.raises(InputError, match="Unpack it"):
        check_name("photos.zip")


@pytest.mark.parametrize(
    "name",
    [
        "fashion_mini",
        "photos",
        "photos/",
        "cifar10",
        "cifar10:3.0.2",
        "imagenet_resized/32x32",
        "huggingface:mnist/mnist",
        "photoss",  # Who knows?
    ],
)
def test_names_that_are_left_to_others(here, name):
    check_name(name)


def test_a_word_that_nobody_knows_proposes_the_folder(here):
    with pytest.raises(InputError, match="mean the folder photos"):
        data.load("photoss")


@pytest.mark.parametrize("name", ["cifar10/nonsense", "cifar10/a/b/c"])
def test_what_tfds_cannot_make_is_one_sentence(here, name):
    with pytest.raises(InputError) as caught:
        data.load(name)
    assert "\n" not in str(caught.value)
    assert str(caught.value).startswith(f"'{name}' is no folder")


def test_the_command_line_tells_before_tensorflow_is_imported(here):
    program = (
        "import sys\n"
        "from keras_ft.cli.main import main\n"
        "code = main(['distill', '--dataset=./photoss'])\n"
        "print(code, 'tensorflow' in sys.modules, 'keras' in sys.modules)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True
    )
    assert done.stdout.split() == ["2", "False", "False"]
    assert done.stderr == (
        "keras-ft: error: There is no folder ./photoss. Did you mean photos?\n"
    )
