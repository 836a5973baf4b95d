"""What a comparison trains, what it finds done, and what it refuses."""

import csv
import dataclasses
import json
import shutil

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import report
from keras_ft.errors import InputError
from keras_ft.experiments import students
from keras_ft.experiments.comparison import trainings
from keras_ft.feature_cache.request import Request
from keras_ft.methods import METHODS


@pytest.fixture
def copied(finished, tmp_path):
    return shutil.copytree(finished.run_dir, tmp_path / "copy")


@pytest.fixture
def trained(monkeypatch):
    """Names of the run folders in which something was trained."""
    folders = []
    train = students.train

    def counted(folder, *arguments, **more):
        folders.append(folder.name)
        return train(folder, *arguments, **more)

    monkeypatch.setattr(students, "train", counted)
    return folders


@pytest.mark.slow
def test_more_may_follow_with_one_teacher_pass_for_all_methods(
    tmp_path, toy, trained, computed, monkeypatch
):
    monkeypatch.setattr(Request, "describe", lambda request: "")
    few = toy | {"methods": ["none"], "seeds": 1}
    keras_ft.compare(tmp_path / "run", **few)
    assert trained == ["none-seed0"] and not computed
    keras_ft.compare(
        tmp_path / "run", **few | {"methods": ["none", "kd", "at"]}
    )
    assert trained == ["none-seed0", "kd-seed0", "at-seed0"]
    # One epoch of 60 images, 20 of validation and 60 of the test.
    assert sum(computed) == 60 + 20 + 60
    keras_ft.compare(tmp_path / "run", **few | {"seeds": 2})
    assert trained[3:] == ["none-seed1"]


def test_phase_1_in_steps_repeats_the_views_of_phase_2(
    tmp_path, toy, computed, monkeypatch
):
    monkeypatch.setattr(Request, "describe", lambda request: "")
    recipe = toy["recipe"].scheduled(paraphrase_steps=6)
    one = toy | {"methods": ["ft"], "seeds": 1, "recipe": recipe}
    found = keras_ft.compare(tmp_path, **one)
    # One step of 60 images an epoch: six epochs, of four views.
    assert found.about["paraphrase_epochs"] == 6
    assert sum(computed) == 4 * 60 + 20 + 60
    (training,) = found.trainings
    with open(
        tmp_path / "paraphraser-seed0/history/paraphrase.csv", encoding="utf-8"
    ) as file:
        *_, last = csv.DictReader(file)
    assert last["epoch"] == "6"
    assert training.variance_kept == float(last["val_variance_kept"])
    assert found.to_dict()["methods"][0]["variance_kept_mean"] == (
        training.variance_kept
    )


def test_what_is_finished_is_not_trained_again(copied, toy, trained, finished):
    again = keras_ft.compare(copied, **toy)
    assert not trained
    assert again.trainings == finished.trainings
    # To look at it took time, which is no part of what it took.
    content = json.loads((copied / "run.json").read_text("utf-8"))
    assert again.about["seconds"] == pytest.approx(
        finished.about["seconds"], abs=content["notes"]["idle_seconds"] / 2
    )
    shutil.rmtree(copied / "ft+at-seed1")
    again = keras_ft.compare(copied, **toy)
    assert trained == ["ft+at-seed1"]
    # The paraphraser was there, and the teacher's outputs are as before.
    for mine, known in zip(again.trainings, finished.trainings, strict=True):
        assert mine.accuracy == known.accuracy


def test_a_failure_is_told_and_the_others_go_on(tmp_path, toy, monkeypatch):
    few = toy | {"methods": ["none", "kd"], "seeds": 1}
    build, broken = trainings.Trainings.build, [True]

    def built(self, method, *arguments):
        if broken[0] and method == "kd":
            raise MemoryError("no room")
        return build(self, method, *arguments)

    monkeypatch.setattr(trainings.Trainings, "build", built)
    lines = []
    found = keras_ft.compare(tmp_path / "run", echo=lines.append, **few)
    assert [t.method for t in found.failures] == ["kd"]
    assert "MemoryError: no room" in found.failures[0].reason
    assert any("kd, seed 0: FAILED" in line for line in lines)
    assert "Traceback" in next(tmp_path.rglob("failure-*.txt")).read_text()
    assert "0 of 1" in found.table()
    assert found.methods[0].mean("accuracy") is not None
    assert found.methods[1].over_plain is None
    broken[0] = False
    found = keras_ft.compare(tmp_path / "run", **few)
    assert not found.failures and found.methods[1].mean("accuracy") is not None


def test_a_loss_that_is_not_finite_fails_alone(tmp_path, toy):
    # Two steps: the first one ruins the weights, the second one shows it.
    schedule = dataclasses.replace(toy["recipe"].distill, batch_size=32)
    settings = {
        "recipe": toy["recipe"].replace(distill=schedule, fitnet_beta=1e38),
        "methods": ["none", "fitnet"],
        "seeds": 1,
    }
    found = keras_ft.compare(tmp_path, **toy | settings)
    (failed,) = found.failures
    assert failed.method == "fitnet" and "finite" in failed.reason
    assert found.methods[0].mean("accuracy") is not None


@pytest.mark.slow
@pytest.mark.parametrize(
    "teacher_pass",
    ["cache", pytest.param("live", marks=pytest.mark.long)],
)
def test_without_weight_a_term_changes_nothing(tmp_path, toy, teacher_pass):
    """Bit for bit the plain training: same weights and same batches."""
    recipe = toy["recipe"].replace(beta=0.0, at_beta=0.0)
    settings = {
        "methods": ["none", "ft", "at"],
        "recipe": recipe,
        "seeds": 1,
        "acceleration": "none",
        "teacher_pass": teacher_pass,
    }
    found = keras_ft.compare(tmp_path, **toy | settings)
    plain, *others = (
        keras.models.load_model(tmp_path / t.folder / "student.keras")
        for t in found.trainings
    )
    for other in others:
        for mine, known in zip(other.weights, plain.weights, strict=True):
            np.testing.assert_array_equal(mine, known)


def test_other_settings_in_the_same_folder_are_refused(copied, toy, trained):
    other = toy | {"recipe": toy["recipe"].replace(at_beta=5.0)}
    with pytest.raises(InputError, match="at_beta"):
        keras_ft.compare(copied, **other)
    assert not trained


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"seeds": 0}, "seeds"),
        ({"methods": ["ft", "crd"]}, "crd"),
        ({"teacher_pass": "twice"}, "teacher_pass"),
        ({"teacher_layer": "nonsense"}, "nonsense"),
        ({"beta_ratio": 0.0}, "beta_ratio"),
        ({"methods": "none,crd"}, "crd"),
        ({"views": 2}, "teacher_pass='cache'"),
        ({"quantizations": ("int8",)}, "export=False"),
    ],
)
def test_bad_input_is_refused_before_training(tmp_path, toy, wrong, told):
    with pytest.raises(InputError, match=told):
        keras_ft.compare(tmp_path, **toy | wrong)
    assert not list(tmp_path.glob("*-seed*"))


def _kept_models(monkeypatch, train=True):
    """What trained each method last, or would have."""
    made, build = {}, trainings.Trainings.build

    def built(self, method, *arguments):
        made[method] = build(self, method, *arguments)
        if not train:
            raise MemoryError("what it was given is known; it need not train")
        return made[method]

    monkeypatch.setattr(trainings.Trainings, "build", built)
    return made


def test_the_published_weights_reach_the_terms(tmp_path, toy, monkeypatch):
    made = _kept_models(monkeypatch, train=False)
    names = [*METHODS, "skd", "ft+dkd"]
    settings = toy | {"methods": names, "seeds": 1}
    found = keras_ft.compare(tmp_path, **settings)
    assert [m.name for m in found.methods] == names
    weights = {
        name: {
            t.name: round(float(t.beta), 3)
            for t in getattr(model, "transfers", ())
        }
        for name, model in made.items()
    }
    assert weights == {
        "none": {},
        "kd": {"soft_target": 0.9},
        "at": {"attention_1": 1000.0},
        "fitnet": {"hint": 100.0},
        "ft": {"factor": 500.0},
        "ft+kd": {"factor": 500.0, "soft_target": 0.9},
        "ft+at": {"factor": 500.0, "attention_1": 1000.0},
        "skd": {"soft_target": 9.0},
        "ft+dkd": {"factor": 500.0, "decoupled_soft_target": 1.0},
    }
    assert made["kd"].transfers[0].temperature == 4.0
    assert made["ft+kd"].task_weight == pytest.approx(0.1)
    assert made["at"].task_weight == 1.0


@pytest.mark.long
def test_beta_is_asked_for_once_per_seed(tmp_path, toy, monkeypatch):
    made = _kept_models(monkeypatch)
    methods = ["ft+kd", "ft"]
    settings = {"methods": methods, "seeds": 1, "beta_ratio": 2.0}
    found = keras_ft.compare(tmp_path, **toy | settings)
    assert not found.failures
    first, second = (float(made[name].transfers[0].beta) for name in methods)
    content = json.loads((tmp_path / "paraphraser-seed0/run.json").read_text())
    assert first == second != 500.0
    assert first == pytest.approx(content["notes"]["beta"]["beta"])
    assert [training.beta for training in found.trainings] == [first] * 2
    page = report.write_comparison(tmp_path).read_text("utf-8")
    assert f"beta was measured, once per seed: {first:.4g}." in page
