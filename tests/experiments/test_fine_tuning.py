"""A small network in the place of MobileNetV2, whose start takes seconds."""

import json
from types import SimpleNamespace

import keras
import numpy as np
import PIL.Image
import pytest

import keras_ft
from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.errors import InputError
from keras_ft.experiments import fine_tuning
from keras_ft.experiments import networks
from keras_ft.experiments.datasets import Loader
from keras_ft.recipes import Recipe


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Images of two colors, on which a head is soon right."""
    path = tmp_path_factory.mktemp("images")
    rng = np.random.default_rng(0)
    for split, count in (("train", 32), ("validation", 8), ("test", 32)):
        for channel, name in enumerate(("red", "green")):
            (path / split / name).mkdir(parents=True)
            for index in range(count):
                pixels = rng.integers(0, 40, (8, 8, 3))
                pixels[..., channel] += 200
                image = PIL.Image.fromarray(np.uint8(pixels))
                image.save(path / split / name / f"{index}.png")
    return path


def small(include_top, weights, input_tensor, input_shape, alpha=1.0):
    assert not include_top and weights is None
    x = keras.layers.Conv2D(16, 3, padding="same", use_bias=False, name="conv")(
        input_tensor
    )
    x = keras.layers.BatchNormalization(name="norm")(x)
    return SimpleNamespace(output=keras.layers.ReLU(name="features")(x))


@pytest.fixture(autouse=True)
def small_backbones(monkeypatch):
    for name in ("MobileNetV2", "MobileNetV3Small"):
        monkeypatch.setattr(keras.applications, name, small)


@pytest.fixture
def words(folder, tmp_path):
    return [
        "distill",
        f"--dataset={folder}",
        "--teacher=mobilenetv2",
        "--student=MobileNetV3Small",
        "--weights=none",
        "--head_epochs=12",
        "--fine_tuning_epochs=1",
        "--method=kd",
        "--batch_size=16",
        "--learning_rate=0.01",
        "--epochs=1",
        f"--run_dir={tmp_path / 'run'}",
    ]


def test_the_head_is_fitted_and_then_all_but_the_statistics(
    words, tmp_path, monkeypatch, capsys
):
    # Killed between the two phases.
    train, phases = fine_tuning.train, []

    def stopped(folder, phase, *arguments, **more):
        phases.append(phase)
        if phase == "teacher" and phases.count(phase) == 1:
            raise KeyboardInterrupt
        return train(folder, phase, *arguments, **more)

    monkeypatch.setattr(fine_tuning, "train", stopped)
    # Few steps are enough for so small a network then.
    monkeypatch.setattr(fine_tuning, "HEAD_RATE", 0.1)
    assert main(words) == 130
    assert main(words) == 0
    assert phases == ["teacher_head", "teacher", "teacher"]
    out = capsys.readouterr().out
    assert "teacher: takes pixels raw" in out
    run = tmp_path / "run"
    head, teacher = (
        networks.load_recorded(run, f"{name}.keras")
        for name in ("teacher_head", "teacher")
    )
    for network in (head, teacher):
        *_, mean, variance = network.get_layer("norm").get_weights()
        np.testing.assert_array_equal(mean, np.zeros(16))
        np.testing.assert_array_equal(variance, np.ones(16))
    keras.utils.set_random_seed(0)
    data = keras_ft.data.load(words[1].partition("=")[2])
    fresh = networks.build("MobileNetV2", data, None)
    kernels = [
        network.get_layer("conv").get_weights()[0]
        for network in (fresh, head, teacher)
    ]
    np.testing.assert_array_equal(kernels[0], kernels[1])
    assert 0 < np.abs(kernels[2] - kernels[1]).max() < 1e-3
    content = json.loads((run / "run.json").read_text())
    assert content["configuration"]["head_epochs"] == 12
    assert content["configuration"]["weights"] is None
    assert content["phases"]["teacher_head"]["result"]["epochs"] == 12
    assert content["phases"]["teacher"]["result"]["accuracy"] == 1.0
    assert (run / "history" / "teacher_head.csv").is_file()
    # Raw pixels for both, and for the phone.
    metrics = json.loads((run / "metrics.json").read_text())
    assert metrics["tflite_agreement"] == 1.0
    assert content["notes"]["pixels"]["student"]["range"] == "raw"


def test_few_images_are_seen_oftener(folder):
    settings = experiments.Settings(
        recipe=Recipe.preset("official"),
        dataset=str(folder),
        teacher="MobileNetV2",
        weights=None,
    )
    load = Loader(settings, with_student=False)
    assert load(fine_tuning.BATCH_SIZE).steps_per_epoch == 2
    assert fine_tuning._epochs(load, 10, 300) == 150
    assert fine_tuning._epochs(load, 10, 19) == 10


def test_a_teacher_alone(words, tmp_path, capsys):
    known = ("--dataset", "--weights", "--fine_tuning", "--run_dir")
    arguments = [word for word in words if word.startswith(known)]
    command = ["train_teacher", "--network=MobileNetV2", "--head_epochs=1"]
    assert main([*command, *arguments]) == 0
    teacher = networks.teacher(str(tmp_path / "run"))
    assert teacher.get_layer("head").units == 2
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    assert list(content["phases"]) == ["teacher_head", "teacher"]
    # Nothing in front of it but its own rescaling.
    assert [layer.name for layer in teacher.layers[1:3]] == ["rescale", "conv"]
    recorded = networks.recorded_normalization(str(tmp_path / "run"))
    assert recorded.mean == (0.0, 0.0, 0.0)
    assert "student" not in capsys.readouterr().out


def test_a_comparison_and_a_search_take_names(folder, tmp_path):
    settings = {
        "recipe": Recipe.preset("official").short(1, 1),
        "dataset": str(folder),
        "student": "MobileNetV3Small",
        "weights": None,
    }
    found = keras_ft.compare(
        tmp_path / "compared",
        teacher="MobileNetV2",
        head_epochs=1,
        fine_tuning_epochs=1,
        methods=["none"],
        seeds=1,
        export=False,
        **settings,
    )
    assert not found.failures
    with pytest.raises(InputError, match="train_teacher --network=MobileNetV2"):
        keras_ft.tuner.SearchSettings(teacher="MobileNetV2", **settings)


def test_settings_say_what_plays_a_part():
    good = {"recipe": Recipe.preset("official"), "teacher": "fashion_mini"}
    own = {"weights", "head_epochs", "fine_tuning_epochs"}
    # Earlier folders go on.
    assert not own & set(experiments.Settings(**good).configuration())
    named = experiments.Settings(**good, student="MobileNetV3Small")
    assert own & set(named.configuration()) == {"weights"}
    fitted = experiments.Settings(**(good | {"teacher": "MobileNetV2"}))
    assert own < set(fitted.configuration())
    for wrong in (
        {"student": "resnt20"},
        {"teacher": "fasion_mini"},
        {"weights": "none"},
        {"head_epochs": 0},
        {"teacher": None, "teacher_network": "resnt20"},
        {"teacher": None, "teacher_network": "MobileNetV2"},
    ):
        with pytest.raises(InputError):
            experiments.Settings(**(good | wrong))
