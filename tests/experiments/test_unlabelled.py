"""Runs, comparisons and searches that learn from few labels."""

import json

import pytest

import keras_ft
from keras_ft.cli.main import main
from keras_ft.experiments.run_folder import read_content
from keras_ft.experiments.training import read_history
from keras_ft.recipes import Recipe

FEW = ["--labelled_examples=30", "--labelled_share=0.5"]


@pytest.fixture(scope="module")
def arguments(distill_arguments, few_images):
    kept = [a for a in distill_arguments if "train_examples" not in a]
    return [*kept, f"--dataset={few_images}", "--batch_size=10", *FEW]


def test_a_run_from_few_labels(arguments, tmp_path, capsys):
    run = tmp_path / "run"
    assert main([*arguments, "--epochs=1", f"--run_dir={run}"]) == 0
    content = json.loads((run / "run.json").read_text())
    assert content["configuration"]["labelled_examples"] == 30
    assert content["notes"]["dataset"]["labelled_examples"] == 30
    assert content["notes"]["dataset"]["sizes"]["train"] == 60
    began = {
        name: content["phases"][name]["result"]["first_batch"]
        for name in ("ft", "none", "kd")
    }
    # Labels only: batches of labelled images alone, and as many.
    assert began["ft"] == began["kd"] != began["none"]
    assert "task_loss" in read_history(run, "ft")[0]
    page = (run / "report.html").read_text()
    assert "Of the 60 training images 30 have a label." in page


def test_nothing_is_noted_where_all_have_labels(finished_run):
    content = read_content(finished_run)
    assert "labelled_examples" not in content["configuration"]
    assert "labelled_examples" not in content["notes"]["dataset"]


@pytest.mark.long
@pytest.mark.parametrize("augment", ["none", "crop+mixup"])
def test_a_comparison(arguments, few_images, augment, tmp_path):
    teacher, student = (a.partition("=")[2] for a in arguments[1:3])
    recipe = Recipe.preset("official").short(1, 1).scheduled(batch_size=10)
    shared = {
        "seeds": 1,
        "export": False,
        "recipe": recipe,
        "teacher": teacher,
        "pixels": "dataset",
        "student": student,
        "dataset": str(few_images),
        "labelled_examples": 30,
        "augment": augment,
    }
    methods = ["none", "kd", "ft"]
    found = keras_ft.compare(tmp_path, methods=methods, **shared)
    assert found.about["labelled_examples"] == 30
    assert not found.failures
    first = {t.method: t.first_batch for t in found.trainings}
    assert first["ft"] == first["kd"] != first["none"]
    # A method may follow, and is compared with what was trained before.
    more = keras_ft.compare(tmp_path, methods=[*methods, "ft+kd"], **shared)
    assert not more.failures
