"""Comparisons that are continued with more, or otherwise."""

import json

import pytest

import keras_ft
from keras_ft import report
from keras_ft.errors import InputError
from keras_ft.experiments.comparison import trainings
from keras_ft.export import ExportError


def interrupt_after(monkeypatch, count):
    """Ctrl-C in the training after so many."""
    build, begun = trainings.Trainings.build, []

    def built(*arguments):
        begun.append(arguments)
        if len(begun) > count:
            raise KeyboardInterrupt
        return build(*arguments)

    monkeypatch.setattr(trainings.Trainings, "build", built)


@pytest.mark.long
def test_methods_may_follow_where_a_cache_was_left(tmp_path, toy, monkeypatch):
    few = toy | {"methods": ["at", "ft"], "seeds": 1}
    with monkeypatch.context() as patch:
        interrupt_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            keras_ft.compare(tmp_path, **few)
    assert len(list(tmp_path.glob("teacher_outputs/seed0-*"))) == 1
    found = keras_ft.compare(tmp_path, **few | {"methods": ["at", "ft", "kd"]})
    assert not found.failures
    assert not (tmp_path / "teacher_outputs").exists()
    # Time was kept up to the last training, whatever came then.
    assert found.about["seconds"] > sum(t.seconds for t in found.trainings)


@pytest.mark.long
def test_another_teacher_pass_is_refused_once_something_learned(tmp_path, toy):
    few = toy | {"methods": ["none", "kd"], "seeds": 1}
    keras_ft.compare(tmp_path, **few, teacher_pass="live")
    keras_ft.compare(tmp_path, **few)
    with pytest.raises(InputError, match="learned with 'live'"):
        keras_ft.compare(tmp_path, **few, teacher_pass="cache")


@pytest.mark.slow
def test_exports_may_follow_and_a_refused_one_is_a_result(
    tmp_path, toy, monkeypatch
):
    few = toy | {"methods": ["none", "kd"], "seeds": 1, "teacher_pass": "live"}
    first = keras_ft.compare(tmp_path, **few)
    assert all(t.int8_bytes is None for t in first.trainings)
    export, folders = trainings.export_student, []

    def refusing(student, path, *arguments, **more):
        folders.append(path.parent.name)
        if path.parent.name.startswith("kd"):
            raise ExportError("student", "too far off", "near", "Do.")
        return export(student, path, *arguments, **more)

    monkeypatch.setattr(trainings, "export_student", refusing)
    steps = []
    prepare = trainings.Trainings.teacher_outputs
    monkeypatch.setattr(
        trainings.Trainings,
        "teacher_outputs",
        lambda self, seed: steps.append(seed) or prepare(self, seed),
    )
    exported = few | {"export": True}
    for _ in range(2):
        found = keras_ft.compare(tmp_path, **exported)
        plain, kd = found.trainings
        size = (tmp_path / plain.folder / "student_int8.tflite").stat().st_size
        assert plain.int8_bytes == size and plain.int8_images == 60
        assert 0 <= plain.int8_accuracy <= 1
        assert "too far off" in kd.int8_refused and kd.accuracy is not None
        assert kd.int8_bytes is None and not found.failures
    # Each was made once, and no teacher ran for it.
    assert folders == ["none-seed0", "kd-seed0"] and not steps
    page = report.write_comparison(tmp_path).read_text("utf-8")
    assert "the same teacher, which ran in every training" in page
    assert "kd, seed 0: no int8 file. Invalid `student`. Received: too" in page
    content = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert [m["int8_seeds"] for m in content["methods"]] == [1, 0]


def test_a_rate_that_leaves_no_channel_is_refused_before_anything(
    tmp_path, toy
):
    recipe = toy["recipe"].replace(rate=0.001)
    with pytest.raises(InputError, match="rate"):
        keras_ft.compare(tmp_path, **toy | {"recipe": recipe})
    assert not list(tmp_path.glob("*-seed*"))
