from pathlib import Path

import pytest

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.export.android_bundle.atomic_folder import atomic_folder
from keras_ft.export.android_bundle.atomic_folder import check_replaceable

MARK = "card.json"


def write(folder, text):
    with atomic_folder(folder) as temporary:
        artifacts.write_text(temporary / MARK, text)
        (temporary / "deep").mkdir()
        artifacts.write_text(temporary / "deep" / "er.txt", text)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_with_its_manifest(tmp_path):
    write(tmp_path / "a" / "b", "one")
    assert names(tmp_path / "a") == ["b"]
    assert names(tmp_path / "a" / "b") == [MARK, "deep", "manifest.json"]
    artifacts.verify(tmp_path / "a" / "b", "deep/er.txt")


def test_an_earlier_one_is_replaced_whole(tmp_path):
    folder = tmp_path / "b"
    with atomic_folder(folder) as temporary:
        artifacts.write_text(temporary / MARK, "old")
        artifacts.write_text(temporary / "old.txt", "old")
    check_replaceable(folder, MARK)
    write(folder, "new")
    assert names(tmp_path) == ["b"]
    assert names(folder) == [MARK, "deep", "manifest.json"]
    assert (folder / MARK).read_text() == "new"


def test_an_error_leaves_what_was_there(tmp_path):
    folder = tmp_path / "b"
    write(folder, "old")
    with pytest.raises(ZeroDivisionError), atomic_folder(folder) as temporary:
        artifacts.write_text(temporary / MARK, "new")
        raise ZeroDivisionError
    assert names(tmp_path) == ["b"]
    assert (folder / MARK).read_text() == "old"
    artifacts.verify(folder, MARK)


def test_a_rename_that_fails_brings_the_old_one_back(tmp_path, monkeypatch):
    folder = tmp_path / "b"
    write(folder, "old")
    replace = artifacts.os.replace

    def fail_at_last(source, target):
        if Path(target) == folder and artifacts.UNFINISHED in str(source):
            raise OSError("no space")
        replace(source, target)

    monkeypatch.setattr(artifacts.os, "replace", fail_at_last)
    with pytest.raises(OSError, match="no space"):
        write(folder, "new")
    assert names(tmp_path) == ["b"]
    assert (folder / MARK).read_text() == "old"


def test_an_empty_folder_may_be_filled(tmp_path):
    (tmp_path / "b").mkdir()
    check_replaceable(tmp_path / "b", MARK)
    write(tmp_path / "b", "one")
    assert (tmp_path / "b" / MARK).read_text() == "one"


def test_other_things_are_never_replaced(tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="which holds thesis.tex"):
        check_replaceable(tmp_path, MARK)
    with pytest.raises(InputError, match="Expected: a folder"):
        check_replaceable(tmp_path / "thesis.tex", MARK)
    write(tmp_path / "b", "one")
    (tmp_path / "b" / "notes").mkdir()
    (tmp_path / "b" / "notes" / "mine.txt").write_text("mine")
    with pytest.raises(InputError, match="which holds notes/mine.txt"):
        check_replaceable(tmp_path / "b", MARK)


def test_folders_of_others_with_a_manifest_are_not_taken(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    artifacts.record(tmp_path, ["run.json"])
    with pytest.raises(InputError, match="written by this function"):
        check_replaceable(tmp_path, MARK)


def test_what_was_filled_in_by_hand_is_kept(tmp_path):
    write(tmp_path / "b", "one")
    (tmp_path / "b" / "deep" / "er.txt").write_text("my phone: 3 ms")
    with pytest.raises(InputError, match="deep/er.txt was changed by hand"):
        check_replaceable(tmp_path / "b", MARK)


def test_a_link_to_a_folder_is_looked_through(tmp_path):
    write(tmp_path / "b", "one")
    (tmp_path / "link").symlink_to(tmp_path / "b")
    check_replaceable(tmp_path / "link", MARK)
    (tmp_path / "b" / "link").symlink_to("/nowhere")
    with pytest.raises(InputError, match="which holds link"):
        check_replaceable(tmp_path / "b", MARK)


def test_a_killed_writer_s_folder_is_removed_like_a_file(tmp_path):
    leftover = tmp_path / f"{artifacts.UNFINISHED}ab12-bundle"
    leftover.mkdir()
    (leftover / "half.txt").write_text("half")
    artifacts.remove_unfinished(tmp_path)
    assert names(tmp_path) == []
