"""Run folders of unknown origin: nothing outside is touched, all is told.

What is checked within a file is in test_reading.py and test_archives.py.
"""

import json
import os
import shutil

import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import artifacts
from keras_ft import experiments
from keras_ft import report
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.cli.main import main
from keras_ft.experiments import networks
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import read_content
from keras_ft.feature_cache.store import FolderStore


@pytest.fixture
def run(finished_run, tmp_path):
    """A finished run, to be changed."""
    folder = tmp_path / "run"
    return shutil.copytree(finished_run, folder)


@pytest.fixture
def precious(tmp_path):
    """A folder beside it that nothing may touch."""
    folder = tmp_path / "precious"
    (folder / "ft").mkdir(parents=True)
    (folder / "diary").write_text("mine")
    yield folder
    assert (folder / "diary").read_text() == "mine"
    assert sorted(os.listdir(folder)) == ["diary", "ft"]


def lock(run, precious):
    (run / ".lock").unlink(missing_ok=True)
    (run / ".lock").symlink_to(precious / "diary")


def pipe_as_lock(run, precious):
    (run / ".lock").unlink(missing_ok=True)
    os.mkfifo(run / ".lock")


def zeros_as_manifest(run, precious):
    (run / "manifest.json").unlink()
    (run / "manifest.json").symlink_to("/dev/zero")


def zeros_as_run(run, precious):
    (run / "run.json").unlink()
    (run / "run.json").symlink_to("/dev/zero")


def history(run, precious):
    shutil.rmtree(run / "history")
    (run / "history").symlink_to(precious)


def checkpoints(run, precious):
    shutil.rmtree(run / "checkpoints", ignore_errors=True)
    (run / "checkpoints").symlink_to(precious)


def unfinished(run, precious):
    (run / f"{artifacts.UNFINISHED}x").symlink_to(precious)


def bundle(run, precious):
    (run / "bundle").symlink_to(precious)


def network(run, precious):
    shutil.move(run / "student.keras", precious.parent / "student.keras")
    (run / "student.keras").symlink_to(precious.parent / "student.keras")


def own_lock(run, precious):
    (run / ".lock").write_text("a note of mine")


WAYS = [
    lock,
    pipe_as_lock,
    zeros_as_manifest,
    zeros_as_run,
    history,
    checkpoints,
    unfinished,
    bundle,
    network,
    own_lock,
]


@pytest.mark.parametrize("way", WAYS)
def test_no_command_follows_a_folder_out(way, run, precious, capsys):
    way(run, precious)
    assert main(["export", f"--run_dir={run}"]) == 2
    error = capsys.readouterr().err
    assert len(error.strip().splitlines()) == 1
    assert str(run) in error
    if way is own_lock:
        assert (run / ".lock").read_text() == "a note of mine"


@pytest.mark.parametrize("command", ["distill", "compare", "tune"])
def test_nor_does_one_that_begins(command, tmp_path, precious, capsys):
    run = tmp_path / "run"
    run.mkdir()
    (run / ".lock").symlink_to(precious / "diary")
    words = ["--train_examples=64", "--epochs=1", "--paraphrase_epochs=1"]
    assert main([command, f"--run_dir={run}", *words]) == 2
    assert "leads out of its folder" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["teacher.keras", "run.json", "manifest.json"])
def test_a_teacher_of_a_strangers_run_stays_inside(name, run, precious):
    shutil.move(run / name, precious.parent / "elsewhere")
    (run / name).symlink_to(precious.parent / "elsewhere")
    with pytest.raises(InputError, match="leads out of its folder"):
        networks.teacher(str(run))
        # The settings are read for the pixels alone.
        networks.recorded_normalization(str(run))


def test_a_cache_stays_in_its_folder(tmp_path, precious):
    folder = tmp_path / "cache"
    folder.mkdir()
    (folder / ".lock").symlink_to(precious / "diary")
    with pytest.raises(InputError, match="leads out of its folder"):
        with FolderStore(folder).locked():
            pass


def test_a_checkpoint_stays_in_its_folder(tmp_path, precious):
    (tmp_path / "kept").mkdir()
    (tmp_path / "kept" / "state.json").symlink_to(precious / "diary")
    checkpoint = EpochCheckpoint(tmp_path / "kept")
    with pytest.raises(InputError, match="leads out of its folder"):
        checkpoint.restore(keras.Sequential([keras.Input((1,))]))


def test_leftovers_are_removed_and_not_what_they_name(tmp_path, precious):
    (tmp_path / f"{artifacts.UNFINISHED}x").symlink_to(precious)
    artifacts.remove_unfinished(tmp_path)
    assert not os.path.lexists(tmp_path / f"{artifacts.UNFINISHED}x")


def test_a_search_stays_in_its_folder(finished_run, tmp_path, precious):
    # Searches and comparisons are run folders that hold others.
    (tmp_path / "run" / "ft-seed0").mkdir(parents=True)
    (tmp_path / "run" / "ft-seed0" / "checkpoints").symlink_to(precious)
    with pytest.raises(InputError, match="ft-seed0/checkpoints leads out"):
        with RunFolder(tmp_path / "run", {"command": "compare"}):
            pass


def resealed(folder, change, name="run.json"):
    """Change a sealed file as somebody would who knows how it is sealed."""
    path = folder / name
    content = json.loads(path.read_text())
    del content["sha256_of_this_file"]
    change(content)
    artifacts.write_json(path, content, sealed=True)


CHANGES = {
    "phases.ft.files[0]": lambda c: c["phases"]["ft"].update(files=["../x"]),
    "phases.ft.result.confusion": lambda c: c["phases"]["ft"]["result"].update(
        confusion=[[1, 2]]
    ),
    "phases.teacher.result.accuracy": lambda c: c["phases"]["teacher"][
        "result"
    ].pop("accuracy"),
    "phases.paraphrase.result.seconds": lambda c: c["phases"]["paraphrase"][
        "result"
    ].update(seconds="long"),
    "phases.export_none.result.bytes": lambda c: c["phases"]["export_none"][
        "result"
    ].update(bytes=-1),
    "sessions[0].started": lambda c: c["sessions"][0].update(started="now"),
    "notes.dataset.normalization.std[0]": lambda c: c["notes"]["dataset"][
        "normalization"
    ].update(std=[0.0]),
    "notes.dataset.sizes.train": lambda c: c["notes"]["dataset"]["sizes"].pop(
        "train"
    ),
    "configuration.seed": lambda c: c["configuration"].update(seed=1e300),
    "configuration.methods": lambda c: c["configuration"].pop("methods"),
    "configuration.command": lambda c: c["configuration"].pop("command"),
    "configuration": lambda c: c.update(configuration=[]),
    "command": lambda c: c["configuration"].update(command={}),
    "phases": lambda c: c.pop("phases"),
    "configuration.recipe.rate": lambda c: c["configuration"]["recipe"].pop(
        "rate"
    ),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_wrong_key_of_a_run_is_named(key, run):
    resealed(run, CHANGES[key])
    with pytest.raises(InputError) as caught:
        report.write(run)
    assert key in str(caught.value)
    assert str(run / "run.json") in str(caught.value)


def test_names_in_a_manifest_stay_inside(run):
    resealed(
        run, lambda c: c["files"].update({"../x": "0"}), artifacts.MANIFEST
    )
    with pytest.raises(InputError, match=r"manifest\.json.*\.\./x"):
        artifacts.verify(run, "student.keras")


def test_deep_brackets_in_a_run_are_told_in_a_sentence(run, capsys):
    (run / "run.json").write_text("[" * 300_000 + "]" * 300_000)
    assert main(["export", f"--run_dir={run}"]) == 2
    assert "run.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name",
    ["history/ft.csv", "history/paraphrase.csv", "metrics.json", "labels.txt"],
)
def test_an_edited_file_reaches_no_report(name, run):
    path = run / name
    content = path.read_text()
    # A digit, or a letter where there is none, as somebody might edit it.
    old = next(c for c in reversed(content) if c.isalnum())
    place = content.rindex(old)
    new = "1" if old != "1" else "2"
    path.write_text(content[:place] + new + content[place + 1 :])
    with pytest.raises(InputError, match=f"{path.name}.*SHA-256"):
        report.write(run)


def test_an_edited_history_of_a_half_trained_phase_changes_nothing(tmp_path):
    from keras_ft.experiments.training import read_history

    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    folder = tmp_path / "checkpoints" / "ft"
    path = tmp_path / "history" / "ft.csv"
    checkpoint = EpochCheckpoint(
        folder, lambda rows: artifacts.write_csv(path, rows)
    )
    checkpoint.restore(model)
    x = np.ones((4, 2))
    model.fit(x, x[:, :1], epochs=2, callbacks=[checkpoint], verbose=0)
    assert read_history(tmp_path, "ft") == checkpoint.rows
    path.write_text("epoch,seconds,loss\n1,1,0\n")
    assert read_history(tmp_path, "ft") == checkpoint.rows


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (lambda c: c.update(weights="../x.weights.h5"), "weights in"),
        (lambda c: c.update(seeds=[[0.5]]), "seeds[0][0] in"),
        (lambda c: c.update(seeds=[[1, 2], [1, 2]]), "epoch-0001.weights"),
        (lambda c: c["rows"][0].pop("epoch"), "rows[0].epoch in"),
        (lambda c: c.update(sha256="0"), "epoch-0001.weights"),
        (lambda c: c.pop("sha256"), "sha256 in"),
    ],
)
def test_a_wrong_key_of_a_checkpoint_is_named(change, key, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    checkpoint = EpochCheckpoint(tmp_path)
    checkpoint.restore(model)
    x = np.ones((4, 2))
    model.fit(x, x[:, :1], callbacks=[checkpoint], verbose=0)
    resealed(tmp_path, change, "state.json")
    with pytest.raises(InputError) as caught:
        EpochCheckpoint(tmp_path).restore(model)
    assert key in caught.value.argument


@pytest.mark.parametrize("command", ["export", "benchmark"])
def test_wrong_labels_reach_no_file(command, run, capsys):
    names = (run / "labels.txt").read_text().splitlines()
    names[0], names[1] = names[1], names[0]
    (run / "labels.txt").write_text("".join(f"{name}\n" for name in names))
    words = ["--runs=1"] if command == "benchmark" else []
    assert main([command, f"--run_dir={run}", *words]) == 2
    assert "labels.txt" in capsys.readouterr().err


def test_images_whose_classes_have_other_names_reach_no_file(run):
    # As when a folder of photos was renamed since.
    names = (run / "labels.txt").read_text().splitlines()
    names[3] = "another name"
    (run / "labels.txt").write_text("".join(f"{name}\n" for name in names))
    artifacts.record(run, ["labels.txt"])
    with pytest.raises(InputError, match=r"'another name', with which"):
        experiments.export_run(run, "dynamic")


def test_a_damaged_file_of_a_run_is_not_benchmarked(run, capsys):
    path = run / "student.tflite"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(["benchmark", f"--run_dir={run}", "--runs=1"]) == 2
    assert "student.tflite" in capsys.readouterr().err


def test_a_run_that_is_read_stays_as_it_is(run):
    before = read_content(run)
    with RunFolder(run) as entered:
        entered.check_command("distill")
    assert read_content(run) == before
