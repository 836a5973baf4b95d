"""Files of an earlier version, made by make_files.py: they load and go on.

Only public names and the command line are used, as whoever has such files
would. A file or a run that a later version cannot read any more is a broken
promise, not a test to change.
"""

import hashlib
import json
import subprocess
import sys
import tarfile
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_ft.cli.main import main

HERE = Path(__file__).parent
VERSION = "610c393"
MODELS = (
    "student",
    "paraphraser",
    "reconstruction",
    "trained",
    "paraphraser_trainer",
    "factor_transfer",
    "distiller",
)
# What a training step rounds differently from one processor to the next.
TRAINED = 1e-4


@pytest.fixture(scope="module")
def earlier(tmp_path_factory) -> Path:
    """The folder as the earlier version left it; tests must not change it."""
    return unpack(tmp_path_factory.mktemp(VERSION))


def unpack(folder: Path) -> Path:
    with tarfile.open(HERE / f"{VERSION}.tar.xz") as archive:
        archive.extractall(folder, filter="data")
    return folder


@pytest.fixture
def place(tmp_path, monkeypatch) -> Path:
    """A copy to work in; the recorded commands name files relative to it."""
    monkeypatch.chdir(unpack(tmp_path))
    return tmp_path


@pytest.fixture(scope="module")
def said(earlier) -> dict[str, np.ndarray]:
    """What the earlier version's own models said before they were saved."""
    with np.load(earlier / "answers.npz", allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


@pytest.fixture(scope="module")
def says(earlier, tmp_path_factory) -> dict[str, np.ndarray]:
    """What the files say now, loaded in a process of its own."""
    out = tmp_path_factory.mktemp("now") / "answers.npz"
    done = subprocess.run(
        [sys.executable, HERE / "answers.py", earlier, out],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    with np.load(out, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def command(place: Path, name: str) -> list[str]:
    commands = json.loads((place / "commands.json").read_text("utf-8"))
    return [*commands[name], f"--run_dir={name}"]


def digests(folder: Path) -> dict[str, str]:
    """Every network, export and history of a run."""
    kept = (".keras", ".tflite", ".csv")
    return {
        str(path.relative_to(folder)): hashlib.sha256(
            path.read_bytes()
        ).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.suffix in kept
    }


def predictions(folder: Path, images: np.ndarray) -> np.ndarray:
    student = keras.models.load_model(folder / "student.keras")
    return student.predict(images, verbose=0)


@pytest.fixture
def no_training(monkeypatch):
    """Fails the test when anything is trained."""

    def refuse(*args, **kwargs):
        raise AssertionError("it was trained again")

    for name in ("fit", "train_on_batch"):
        monkeypatch.setattr(keras.Model, name, refuse)


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_a_model_predicts_what_it_predicted(says, said, name):
    np.testing.assert_allclose(says[name], said[name], rtol=1e-5, atol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factor_transfer", "distiller"])
def test_a_wrapper_tells_every_term_as_before(says, said, name):
    terms = {key for key in said if key.startswith(f"{name}/")}
    assert {f"{name}/{key}" for key in ("loss", "task_loss")} < terms
    assert terms == {key for key in says if key.startswith(f"{name}/")}
    for key in terms:
        np.testing.assert_allclose(says[key], said[key], rtol=1e-5, err_msg=key)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["factor_transfer", "distiller"])
def test_a_wrapper_trains_on_with_its_optimizer(says, said, name):
    after = f"{name} after a step"
    assert np.abs(said[after] - said[name]).max() > 100 * TRAINED
    np.testing.assert_allclose(says[after], said[after], atol=TRAINED)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_student(place, said, capsys):
    assert not (place / "half/student.keras").exists()
    paraphraser = digests(place / "half")["paraphraser.keras"]
    assert main(command(place, "half")) == 0
    assert digests(place / "half")["paraphraser.keras"] == paraphraser
    received = predictions(place / "half", said["test_images"])
    np.testing.assert_allclose(received, said["whole"], atol=TRAINED)
    metrics = json.loads((place / "half/metrics.json").read_text("utf-8"))
    assert metrics["ft_accuracy"] > 0 and metrics["tflite_agreement"] == 1.0


@pytest.mark.parametrize("change", ["--seed=1", "--beta=21", "--rate=1"])
def test_a_killed_run_goes_on_with_its_own_settings_only(place, change, capsys):
    before = digests(place / "half")
    assert main([*command(place, "half"), change]) == 2
    assert change[2:].split("=")[0] in capsys.readouterr().err
    assert digests(place / "half") == before


def test_a_finished_run_is_finished(place, said, no_training, capsys):
    before = digests(place / "done")
    assert {"student.keras", "student_kd.keras", "student.tflite"} < set(before)
    assert main(command(place, "done")) == 0
    # Phases are called after their methods now, and so are their histories.
    renamed = {"distil": "ft", "alone": "none"}
    expected = {
        f"history/{renamed.get(Path(name).stem, Path(name).stem)}.csv"
        if name.startswith("history/")
        else name: digest
        for name, digest in before.items()
    }
    assert digests(place / "done") == expected
    received = predictions(place / "done", said["test_images"])
    np.testing.assert_allclose(received, said["done"], atol=1e-5)


def test_a_damaged_file_of_a_finished_run_is_refused(place, capsys):
    path = place / "done/student.keras"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert main(command(place, "done")) == 2
    assert "student.keras" in capsys.readouterr().err


def test_a_finished_run_is_exported(place, capsys):
    path = place / "done/student_float16.tflite"
    path.unlink()
    assert main(["export", "--run_dir=done", "--quantization=float16"]) == 0
    assert path.is_file()
    assert "same answer as Keras on 100.0%" in capsys.readouterr().out


def test_a_finished_run_is_benchmarked_and_reported(place, capsys):
    (place / "done/report.html").unlink()
    arguments = ["--runs=2", "--threads=1", "--test_examples=32"]
    assert main(["benchmark", "--run_dir=done", *arguments]) == 0
    content = json.loads((place / "done/benchmark.json").read_text("utf-8"))
    files = [row["file"] for row in content["files"]]
    assert sorted(files) == ["student.tflite", "student_float16.tflite"]
    page = (place / "done/report.html").read_text("utf-8")
    assert "student_float16.tflite" in page
    assert main(["taps", "--run_dir=done"]) == 0
    assert "features" in capsys.readouterr().out


@pytest.mark.long
def test_a_finished_run_is_a_teacher(place, capsys):
    arguments = command(place, "done")
    arguments[1] = "--teacher=done"
    assert main([*arguments[:-1], "--run_dir=new", "--plan"]) == 0
    assert "teacher" in capsys.readouterr().out
