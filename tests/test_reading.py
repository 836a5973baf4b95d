"""Files that somebody else may have made: what is opened, and what is in it."""

import os
import socket

import pytest

from keras_ft import reading
from keras_ft.errors import InputError
from keras_ft.reading import NAME
from keras_ft.reading import NUMBER


@pytest.fixture
def folder(tmp_path):
    folder = tmp_path / "run"
    (folder / "history").mkdir(parents=True)
    return folder


@pytest.fixture
def precious(tmp_path):
    """A file beside the folder, which is nobody's business."""
    path = tmp_path / "precious"
    path.write_text("mine")
    return path


def link(precious, path):
    path.symlink_to(precious)


def link_to_folder(precious, path):
    path.symlink_to(precious.parent)


def relative_link(precious, path):
    path.symlink_to(os.path.relpath(precious, path.parent))


def link_to_a_link(precious, path):
    second = path.with_name("second")
    second.symlink_to(precious)
    path.symlink_to(second)


def device(precious, path):
    path.symlink_to("/dev/zero")


def dangling(precious, path):
    path.symlink_to(precious.with_name("to be made"))


def pipe(precious, path):
    os.mkfifo(path)


def listener(precious, path):
    # The name of a socket may have about a hundred letters.
    before = os.getcwd()
    os.chdir(path.parent)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind(path.name)
    os.chdir(before)


@pytest.mark.parametrize("place", ["run.json", "history/ft.csv"])
@pytest.mark.parametrize(
    "make",
    [
        link,
        link_to_folder,
        relative_link,
        link_to_a_link,
        device,
        dangling,
        pipe,
        listener,
    ],
)
def test_a_folder_with_a_way_out_is_refused(make, place, folder, precious):
    make(precious, folder / place)
    with pytest.raises(InputError, match="leads out of its|a pipe or a dev"):
        reading.check_folder(folder)
    assert precious.read_text() == "mine"


def test_links_within_a_folder_and_hidden_folders_may_be(folder, tmp_path):
    (folder / "a").write_text("a")
    (folder / "b").symlink_to("a")
    (folder / "c").symlink_to("history", target_is_directory=True)
    (folder / ".venv").mkdir()
    (folder / ".venv" / "python").symlink_to("/bin/sh")
    reading.check_folder(folder)
    (tmp_path / "elsewhere").symlink_to(folder)
    reading.check_folder(tmp_path / "elsewhere")
    reading.check_folder(tmp_path / "missing")


def test_a_folder_beside_it_with_a_longer_name_is_outside(folder):
    beside = folder.with_name("run2")
    beside.mkdir()
    (beside / "file").write_text("mine")
    (folder / "file").symlink_to(beside / "file")
    with pytest.raises(InputError, match="leads out"):
        reading.read_text(folder / "file", folder)


def test_a_name_does_not_leave_its_folder(folder, precious):
    with pytest.raises(InputError, match="leads out"):
        reading.read_text(folder / "../precious", folder)


def test_a_pipe_is_not_opened(folder):
    os.mkfifo(folder / "pipe")
    # Opening it would wait for a writer for ever.
    with pytest.raises(InputError, match="pipe or a device"):
        reading.read_text(folder / "pipe", folder)


def test_a_large_file_is_not_read_whole(folder):
    path = folder / "large"
    path.write_bytes(bytes(101))
    with pytest.raises(InputError, match="more than 100 bytes"):
        reading.read_bytes(path, folder, most=100)
    assert len(reading.read_bytes(path, folder, most=101)) == 101


def test_a_lock_is_an_empty_file_or_not_there(folder, precious):
    path = folder / ".lock"
    reading.check_lock(path)
    path.touch()
    reading.check_lock(path)
    path.write_text("somebody's notes")
    with pytest.raises(InputError, match="no lock of keras_ft"):
        reading.check_lock(path)
    path.unlink()
    path.symlink_to(precious)
    with pytest.raises(InputError, match="leads out"):
        reading.check_lock(path)


def nested(brackets):
    return brackets[0] * 300_000 + brackets[1] * 300_000


@pytest.mark.parametrize(
    "text",
    [
        nested("[]"),
        '{"a":' * 300_000 + "1" + "}" * 300_000,
        "[" * 300 + "]" * 300,
        "1" * 5000,
        "",
        "\0",
        '{"a": 1',
        "\ufeff{}",
    ],
    ids=["lists", "objects", "levels", "digits", "empty", "nul", "cut", "bom"],
)
def test_what_is_no_json_is_refused_by_name(text, folder):
    path = folder / "run.json"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=r"run\.json"):
        reading.read_json(path)


def test_what_is_no_utf8_is_refused_by_name(folder):
    (folder / "run.json").write_bytes(b"\xff\xfe{}")
    with pytest.raises(InputError, match=r"run\.json.*utf-8"):
        reading.read_json(folder / "run.json")


SHAPE = {
    "files": [NAME],
    "rows": [{"epoch": int, str: NUMBER}],
    "loss?": (float, None),
    "note": str,
}
RIGHT = {"files": ["a/b.csv"], "rows": [{"epoch": 1, "x": 0.5}], "note": ""}


def test_content_of_the_shape_is_accepted():
    reading.check(RIGHT, SHAPE, "run.json")
    reading.check({**RIGHT, "loss": None}, SHAPE, "run.json")
    reading.check({**RIGHT, "loss": 2}, SHAPE, "run.json")


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"files": ["../x"]}, "files[0]"),
        ({"files": ["a", "/etc/passwd"]}, "files[1]"),
        ({"files": ["C:\\x"]}, "files[0]"),
        ({"files": ["a\\..\\..\\x"]}, "files[0]"),
        ({"files": [""]}, "files[0]"),
        ({"files": ["a\0"]}, "files[0]"),
        ({"files": "a"}, "files"),
        ({"rows": [{"x": 1}]}, "rows[0].epoch"),
        ({"rows": [{"epoch": True}]}, "rows[0].epoch"),
        ({"rows": [{"epoch": 1.5}]}, "rows[0].epoch"),
        ({"rows": [{"epoch": 10**4000}]}, "rows[0].epoch"),
        ({"rows": [{"epoch": 1, "x": "0.5"}]}, "rows[0].x"),
        ({"rows": {}}, "rows"),
        ({"loss": float("nan")}, "loss"),
        ({"loss": 10**400}, "loss"),
        ({"note": None}, "note"),
    ],
)
def test_another_shape_is_refused_by_file_and_key(change, key):
    with pytest.raises(InputError) as caught:
        reading.check({**RIGHT, **change}, SHAPE, "run.json")
    assert caught.value.argument == f"{key} in run.json"
    assert len(str(caught.value)) < 400


def test_a_missing_key_is_named():
    content = {name: RIGHT[name] for name in ("files", "rows")}
    with pytest.raises(InputError, match=r"`note in run\.json`.*no such key"):
        reading.check(content, SHAPE, "run.json")


def test_rows_of_numbers_are_read(folder):
    path = folder / "ft.csv"
    path.write_text("epoch,loss,val_loss\n1,0.5,\n2,nan,3e2\n")
    first, second = reading.read_numbers(path)
    assert first == {"epoch": 1.0, "loss": 0.5}
    assert second["val_loss"] == 300.0


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("epoch,loss\n1,half\n", "loss in .*line 2"),
        ("epoch,loss\n1,2,3\n", "line 2.*more values"),
        ('epoch,"los\n' + "1" * 200_000, "field larger"),
    ],
)
def test_a_damaged_table_is_refused_by_line_and_column(text, says, folder):
    path = folder / "ft.csv"
    path.write_text(text)
    with pytest.raises(InputError, match=says) as caught:
        reading.read_numbers(path)
    assert "ft.csv" in str(caught.value)
