"""`keras-ft export --bundle`."""

import json
import shutil

import pytest

from keras_ft.cli.main import main


@pytest.fixture
def run_dir(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


@pytest.fixture
def metrics(finished_run):
    return json.loads((finished_run / "metrics.json").read_text())


def card_in(folder):
    return json.loads((folder / "model_card.json").read_text())


def test_a_run_is_handed_over(run_dir, metrics, capsys):
    words = ["export", f"--run_dir={run_dir}", "--bundle"]
    more = ["--author=Ann", "--license=MIT", "--package=org.example.shoes"]
    assert main([*words, *more]) == 0
    out = capsys.readouterr().out
    folder = run_dir / "bundle"
    assert out.startswith("student.tflite (int8): ")
    assert f"{folder}:\n  README.md" in out
    listed = out.split(f"{folder}:\n")[1].splitlines()
    for line in listed:
        assert (folder / line.split()[0]).exists()
    card = card_in(folder)
    assert (card["author"], card["license"]) == ("Ann", "MIT")
    training = card["training"]
    assert training["settings"]["beta"] == 500.0
    assert training["settings"]["epochs of phase 2 (distill)"] == 2
    assert training["settings"]["epochs of phase 1 (paraphrase)"] == 1
    assert "fashion_mini" in training["data"]
    assert f"{metrics['student_parameters']:,}" in training["student"]
    assert f"{metrics['teacher_parameters']:,}" in training["teacher"]
    told = {
        name.split(", 2")[0]: share
        for name, share in training["accuracies"].items()
    }
    assert told == {
        "teacher": metrics["teacher_accuracy"],
        "this student in Keras": metrics["ft_accuracy"],
        "the same student, labels only": metrics["none_accuracy"],
        "the same student, soft targets (KD)": metrics["kd_accuracy"],
    }
    # All test images: what the run measured is what the bundle measured.
    assert card["samples"] == metrics["test_examples"]
    assert card["accuracy"]["keras"] == pytest.approx(metrics["ft_accuracy"])
    text = (folder / "model_card.md").read_text()
    assert "2,000 images, from the 2,000 test images of fashion_mini:" in text
    kotlin = (folder / "Classifier.kt").read_text()
    assert kotlin.startswith("package org.example.shoes\n")
    assert (
        "MediaPipe's ImageClassifier refuses"
        in (folder / "README.md").read_text()
    )


def test_no_path_of_this_machine_is_handed_over(run_dir, tmp_path):
    words = ["export", f"--run_dir={run_dir}", f"--bundle={tmp_path / 'out'}"]
    assert main([*words, "--quantization=none"]) == 0
    card = card_in(tmp_path / "out")
    assert card["quantization"] == "none"
    # The run was started with absolute paths of teacher and student.
    assert card["training"]["teacher"].startswith("teacher.keras, ")
    for path in (tmp_path / "out").rglob("*.*"):
        assert str(tmp_path.parent).encode() not in path.read_bytes()
    assert not (run_dir / "bundle").exists()


def test_a_file_is_handed_over(run_dir, tmp_path, capsys):
    student = shutil.copy(run_dir / "student.keras", tmp_path / "own.keras")
    words = ["export", f"--student={student}", "--bundle"]
    assert main([*words, "--quantization=dynamic"]) == 0
    card = card_in(tmp_path / "own_bundle")
    assert card["quantization"] == "dynamic"
    assert card["training"]["data"] == "" == card["training"]["teacher"]
    assert "parameters" in card["training"]["student"]
    assert str(tmp_path / "own_bundle") in capsys.readouterr().out


@pytest.mark.parametrize(
    "words, message",
    [
        (["--author=Ann"], "Invalid `--author`"),
        (["--nobundle", "--package=a.b"], "Invalid `--package`"),
        (["--bundle", "--output=a.tflite"], "Invalid `--output`"),
        (["--bundle", "--package=1"], "Invalid `package`"),
        (["--bundle", "--quantization=int8_io"], "no uint8"),
        (["--bundle", "somewhere"], "flags only"),
    ],
)
def test_flags_that_do_not_fit_are_refused(run_dir, capsys, words, message):
    before = sorted(path.name for path in run_dir.iterdir())
    assert main(["export", f"--run_dir={run_dir}", *words]) == 2
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in run_dir.iterdir()) == before


def test_a_run_without_a_student_is_refused(run_dir, capsys):
    (run_dir / "student.keras").unlink()
    assert main(["export", f"--run_dir={run_dir}", "--bundle"]) == 2
    assert "student.keras" in capsys.readouterr().err
    assert not (run_dir / "bundle").exists()


def test_a_run_that_was_never_finished_is_refused(run_dir, capsys):
    (run_dir / "metrics.json").write_text("{}")
    assert main(["export", f"--run_dir={run_dir}", "--bundle"]) == 2
    assert "metrics.json" in capsys.readouterr().err


def test_a_folder_filled_in_by_hand_is_kept(run_dir, capsys):
    words = ["export", f"--run_dir={run_dir}", "--bundle"]
    assert main(words) == 0
    table = run_dir / "bundle" / "latency.md"
    table.write_text(table.read_text().replace("| |", "| 0.9 |"))
    assert main(words) == 2
    assert "latency.md was changed by hand" in capsys.readouterr().err
    assert "| 0.9 |" in table.read_text()
