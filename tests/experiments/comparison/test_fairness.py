"""What must stay the same between the trainings of a comparison."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import experiments
from keras_ft import report
from keras_ft.data import Normalization
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments import students
from keras_ft.experiments.comparison import Comparison
from keras_ft.experiments.comparison import trainings
from keras_ft.experiments.comparison.results import TrainingResult


def network(size=28, features="features"):
    """A classifier of images of that size; None is any."""
    image = keras.Input((size, size, 1))
    x = keras.layers.Conv2D(8, 5, strides=4, padding="same")(image)
    x = keras.layers.ReLU(name=features)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(10)(x))


def saved(path, **arguments):
    network(**arguments).save(path)
    return str(path)


@pytest.fixture
def few(toy):
    """One plain training; methods may be added."""
    return toy | {"methods": ["none"], "seeds": 1, "teacher_pass": "live"}


def test_another_student_fails_before_it_trains(tmp_path, few):
    student = saved(tmp_path / "student.keras")
    few |= {"student": student}
    keras_ft.compare(tmp_path / "run", **few)
    saved(tmp_path / "student.keras")
    found = keras_ft.compare(
        tmp_path / "run", **few | {"methods": ["none", "kd"]}
    )
    (failed,) = found.failures
    assert failed.method == "kd" and failed.accuracy is None
    assert "other initial weights than none-seed0" in failed.reason


def test_pixels_scaled_otherwise_are_refused(tmp_path, few, monkeypatch):
    """As when another teacher is in the run folder that was named."""
    few = few | {"pixels": None}
    first, other = (Normalization((0.4,), (std,)) for std in (0.3, 0.2))
    monkeypatch.setattr(networks, "recorded_normalization", lambda _: first)
    keras_ft.compare(tmp_path, **few)
    monkeypatch.setattr(networks, "recorded_normalization", lambda _: other)
    with pytest.raises(InputError, match="normalization") as caught:
        keras_ft.compare(tmp_path, **few | {"methods": ["none", "kd"]})
    assert "with which this run was started" in str(caught.value)
    assert not (tmp_path / "kd-seed0").exists()


def test_other_test_images_are_refused(tmp_path, few, monkeypatch):
    keras_ft.compare(tmp_path, **few)
    monkeypatch.setattr(
        trainings.Trainings, "test_images", lambda self: "other"
    )
    with pytest.raises(InputError, match="other test images"):
        keras_ft.compare(tmp_path, **few | {"methods": ["none", "kd"]})


def test_a_digest_tells_test_images_apart():
    def digest(**arguments):
        loaded = keras_ft.data.load("fashion_mini", **arguments)
        return trainings.Trainings.test_images(SimpleNamespace(data=loaded))

    assert digest() == digest(seed=1, batch_size=128)
    assert digest() != digest(normalization=Normalization((0.4,), (0.2,)))


def test_a_verdict_says_how_many_seeds_it_is_of(tmp_path):
    def result(method, seed, accuracy):
        reason = "NaN" if accuracy is None else None
        return TrainingResult(method, seed, "", reason, accuracy)

    accuracies = {
        "none": (0.80, 0.81, 0.80, 0.80, 0.81),
        "ft": (None, 0.82, 0.81, None, 0.83),
    }
    found = Comparison(
        tmp_path,
        tuple(
            result(method, seed, accuracy)
            for method, values in accuracies.items()
            for seed, accuracy in enumerate(values)
        ),
        {},
    )
    (sentence,) = found.verdicts()
    assert sentence.endswith("; 3 of 5 seeds only, as trainings failed")
    found.write()
    head, _, ft = (tmp_path / "methods.csv").read_text().splitlines()
    assert ft.split(",")[head.split(",").index("over_plain_seeds")] == "3"


def test_the_teachers_pass_is_chosen_when_something_learns(
    tmp_path, toy, monkeypatch
):
    few = toy | {"methods": ["none"], "seeds": 1}
    found = keras_ft.compare(tmp_path, **few)
    assert found.about["teacher_pass"] == "cache"
    monkeypatch.setattr(trainings, "_CACHE_LIMIT", 1)
    found = keras_ft.compare(tmp_path, **few | {"methods": ["none", "kd"]})
    assert found.about["teacher_pass"] == "live"
    # Nor by a comparison that leaves out what has learned.
    with pytest.raises(InputError, match="learned with 'live'"):
        keras_ft.compare(tmp_path, **few, teacher_pass="cache")


@pytest.mark.parametrize(
    ("wrong", "argument"),
    [
        ({"teacher": None, "methods": ["none", "at"]}, "methods"),
        ({"teacher": None, "methods": ["none", "ft"]}, "feature maps"),
        ({"student": None, "export": True}, "student"),
    ],
)
def test_networks_of_any_size_are_refused_before_training(
    tmp_path, few, wrong, argument
):
    free = saved(tmp_path / "free.keras", size=None)
    for name in ("teacher", "student"):
        if name in wrong:
            wrong = wrong | {name: free}
    few |= {"teacher_pass": "auto"}
    with pytest.raises(InputError) as caught:
        keras_ft.compare(tmp_path / "run", **few | wrong)
    assert argument in caught.value.argument
    assert not list(tmp_path.glob("run/*-seed*"))


def test_soft_targets_of_a_teacher_for_any_size(tmp_path, few):
    free = saved(tmp_path / "free.keras", size=None)
    few |= {"teacher": free, "methods": ["kd"], "teacher_pass": "auto"}
    assert not keras_ft.compare(tmp_path / "run", **few).failures


def test_a_teacher_may_have_layers_named_like_terms(tmp_path, few):
    teacher = saved(tmp_path / "teacher.keras", features="factor")
    few |= {"teacher": teacher, "methods": ["ft+at"], "teacher_pass": "auto"}
    assert not keras_ft.compare(tmp_path / "run", **few).failures


def test_a_broken_export_leaves_the_accuracy(tmp_path, few, monkeypatch):
    def broken(*arguments, **more):
        raise RuntimeError("the converter broke")

    monkeypatch.setattr(trainings, "export_student", broken)
    found = keras_ft.compare(tmp_path, **few | {"export": True})
    (failed,) = found.failures
    assert failed.accuracy is not None and failed.int8_refused is None
    page = report.write_comparison(tmp_path).read_text("utf-8")
    row = page.split("<code>none-seed0</code>")[1].split("</tr>")[0]
    assert f"{100 * failed.accuracy:.1f}" in row and row.count("failed") == 1


@pytest.mark.long
def test_an_export_by_hand_changes_no_result(tmp_path, few, monkeypatch):
    # An export by hand measures fewer images than these have.
    few |= {"dataset": "fashion_mini", "train_examples": 64, "export": True}
    (before,) = keras_ft.compare(tmp_path, **few).trainings
    assert before.int8_images == 2000
    path, result = experiments.export_run(tmp_path / before.folder, "int8")
    assert path.name == "student_int8.tflite"
    assert result["samples"] != before.int8_images
    (after,) = keras_ft.compare(tmp_path, **few).trainings
    assert after == before


@pytest.mark.long
def test_methods_start_alike_and_seeds_do_not(tmp_path, photos):
    """With a student of the zoo, which every training makes anew."""
    images, teacher = photos
    found = keras_ft.compare(
        tmp_path,
        recipe=keras_ft.Recipe.preset("official").short(1, 1),
        dataset=str(images),
        teacher=str(teacher),
        pixels="dataset",  # the teacher is not trained
        student="resnet8",
        methods=["none", "kd", "ft"],
        seeds=2,
        export=False,
    )
    assert not found.failures
    content = json.loads((tmp_path / "comparison.json").read_text("utf-8"))
    assert len(content["trainings"]) == 6
    for field in ("initial_weights", "first_batch"):
        digests = {}
        for training in content["trainings"]:
            digests.setdefault(training["seed"], set()).add(training[field])
        first, second = digests[0], digests[1]
        assert len(first) == len(second) == 1, field
        assert first != second, field
        assert all(len(digest) == 64 for digest in first | second)


def test_initial_weights_are_the_files(tmp_path, few):
    student = saved(tmp_path / "student.keras")
    loaded = keras.models.load_model(student)
    began = students.digest(loaded.weights)
    few |= {"student": student}
    (plain,) = keras_ft.compare(tmp_path / "run", **few).trainings
    assert plain.initial_weights == began
    loaded.layers[1].kernel.assign_add(np.full((5, 5, 1, 8), 1e-6))
    assert students.digest(loaded.weights) != began
