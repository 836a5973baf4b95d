import csv
import json
import shutil
import zipfile

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import Paraphraser
from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.errors import InputError
from keras_ft.recipes import Recipe
from keras_ft.tuner import SearchSettings

FILES = {
    "run.json",
    "manifest.json",
    "metrics.json",
    "labels.txt",
    "teacher.keras",
    "paraphraser.keras",
    "translator.keras",
    "student.keras",
    "student_none.keras",
    "student_kd.keras",
    "student.tflite",
    "student_dynamic.tflite",
    "report.html",
}


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "copy")


def test_the_folder_holds_what_is_promised(finished_run):
    names = {path.name for path in finished_run.iterdir()}
    assert FILES <= names
    phases = {"paraphrase", "ft", "none", "kd"}
    histories = {path.stem for path in (finished_run / "history").iterdir()}
    assert histories == phases
    boards = {path.name for path in (finished_run / "tensorboard").iterdir()}
    assert boards == phases
    assert not list(finished_run.rglob("*.weights.h5"))
    assert not list(finished_run.rglob(".unfinished*"))


def test_every_artefact_is_in_the_manifest(finished_run):
    recorded = artifacts.manifest(finished_run)
    assert FILES - {"run.json", "manifest.json"} <= set(recorded)
    for name in recorded:
        artifacts.verify(finished_run, name)


def test_metrics(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    assert set(metrics) == {
        "teacher_accuracy",
        "variance_kept",
        "ft_accuracy",
        "none_accuracy",
        "methods",
        "kd_accuracy",
        "tflite_bytes",
        "tflite_agreement",
        "tflite_accuracy",
        "tflite_dynamic_bytes",
        "tflite_dynamic_agreement",
        "tflite_dynamic_accuracy",
        "teacher_parameters",
        "student_parameters",
        "test_examples",
        "seconds",
    }
    size = (finished_run / "student.tflite").stat().st_size
    assert metrics["tflite_bytes"] == size
    assert metrics["tflite_agreement"] == 1.0
    # Convolution 5*5*1*8 + 8, head 7*7*8*10 + 10.
    assert metrics["student_parameters"] == 208 + 3930
    assert metrics["test_examples"] == 2000


def test_accuracy_is_that_of_the_saved_student(finished_run):
    metrics = json.loads((finished_run / "metrics.json").read_text())
    student = keras.models.load_model(finished_run / "student.keras")
    with experiments.RunFolder(finished_run) as run:
        data = experiments.load_run_data(run)
    images, labels = data.examples("test", 2000)
    logits = student.predict(data.normalization.apply(images), verbose=0)
    accuracy = float(np.mean(logits.argmax(axis=-1) == labels))
    assert accuracy == pytest.approx(metrics["ft_accuracy"], abs=1e-3)


def test_run_file_tells_settings_versions_and_data(finished_run):
    content = json.loads((finished_run / "run.json").read_text())
    assert content["configuration"]["recipe"]["distill"]["epochs"] == 2
    assert content["configuration"]["seed"] == 0
    session = content["sessions"][0]
    assert session["command_line"][:2] == ["keras-ft", "distill"]
    assert session["versions"]["keras"] == keras.__version__
    dataset = content["notes"]["dataset"]
    assert dataset["name"] == "fashion_mini"
    assert len(dataset["normalization"]["mean"]) == 1


def test_history_has_every_term(finished_run):
    with open(finished_run / "history" / "ft.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [float(row["epoch"]) for row in rows] == [1, 2]
    terms = {"task_loss", "factor_loss", "regularization_loss"}
    assert terms | {"loss", "val_accuracy", "val_task_loss"} <= set(rows[0])


def test_students_are_plain_keras(finished_run):
    for name in ("student", "student_none", "student_kd"):
        with zipfile.ZipFile(finished_run / f"{name}.keras") as archive:
            config = archive.read("config.json").decode()
        assert "keras_ft" not in config
        # No optimizer: the file is the network and nothing else.
        assert json.loads(config)["compile_config"] in (None, {})


def test_paraphraser_loads_as_trained(finished_run):
    network = keras.models.load_model(finished_run / "paraphraser.keras")
    assert isinstance(network.layers[-1], Paraphraser)
    assert network.layers[-1].trained
    assert network.output_shape == (None, 7, 7, 6)


def test_run_again_changes_nothing(copied_run, distill_arguments, capsys):
    before = artifacts.manifest(copied_run)
    written = (copied_run / "student.keras").stat().st_mtime_ns
    assert main([*distill_arguments, f"--run_dir={copied_run}"]) == 0
    assert "ft: done before" in capsys.readouterr().out
    after = artifacts.manifest(copied_run)
    changing = {"metrics.json", "report.html"}
    assert {k: v for k, v in after.items() if k not in changing} == {
        k: v for k, v in before.items() if k not in changing
    }
    assert (copied_run / "student.keras").stat().st_mtime_ns == written


@pytest.mark.parametrize(
    "name", ["teacher.keras", "student.keras", "student.tflite"]
)
def test_a_damaged_artefact_is_refused_by_name(
    copied_run, distill_arguments, capsys, name
):
    content = bytearray((copied_run / name).read_bytes())
    content[len(content) // 2] ^= 1
    (copied_run / name).write_bytes(content)
    assert main([*distill_arguments, f"--run_dir={copied_run}"]) == 2
    assert name in capsys.readouterr().err


def test_a_changed_setting_is_refused(copied_run, distill_arguments, capsys):
    arguments = [*distill_arguments, "--beta=7", f"--run_dir={copied_run}"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "recipe.beta" in error and "7.0" in error and "500.0" in error
    assert "another --run_dir" in error


@pytest.mark.long
def test_all_students_of_a_run_start_from_the_same_weights(tmp_path, photos):
    """What steps as small as these leave is what training began with."""
    images, teacher = photos
    arguments = [
        "distill",
        f"--dataset={images}",
        f"--teacher={teacher}",
        "--pixels=dataset",  # the teacher is not trained
        "--student=resnet8",  # made anew, unlike a file
        "--batch_size=16",
        "--learning_rate=1e-30",
        "--paraphrase_epochs=1",
        "--epochs=1",
        "--quantization=",
    ]
    for seed, baselines in ((0, "alone,kd"), (1, "")):
        more = [f"--seed={seed}", f"--baselines={baselines}"]
        run_dir = f"--run_dir={tmp_path / str(seed)}"
        assert main([*arguments, *more, run_dir]) == 0

    def kernels(seed, name):
        path = tmp_path / str(seed) / f"{name}.keras"
        student = keras.models.load_model(path, compile=False)
        # Statistics of batch normalization move whatever the rate is.
        return [v for v in student.trainable_variables if "kernel" in v.path]

    distilled, another = kernels(0, "student"), kernels(1, "student")
    assert len(distilled) > 8
    for name in ("student_none", "student_kd"):
        for one, other in zip(distilled, kernels(0, name), strict=True):
            np.testing.assert_array_equal(one, other)
    # The same within a run, and others with another seed.
    for one, other in zip(distilled, another, strict=True):
        assert not np.allclose(one, other, rtol=0.1)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"augment": "crops"}, "augment"),
        ({"methods": ("crd",)}, "methods"),
        ({"quantizations": ("int4",)}, "quantizations"),
        ({"teacher": None}, "exactly one of the two"),
        ({"seed": -1}, "seed"),
    ],
)
def test_bad_settings_are_refused(changes, message):
    good = {"recipe": Recipe.preset("official"), "teacher": "fashion_mini"}
    with pytest.raises(InputError, match=message):
        experiments.Settings(**(good | changes))


@pytest.mark.parametrize(
    ("changes", "kept"),
    [
        ({}, None),  # As run folders of earlier versions have it.
        ({"augment": "flip+crop"}, None),
        ({"augment": False}, "none"),
        ({"augment": "mixup+crop"}, "crop+mixup"),
        ({"dataset": "mnist"}, "crop"),
        ({"dataset": "mnist", "augment": "crop+flip"}, None),
    ],
)
def test_the_augmentation_is_kept_unless_it_always_was(changes, kept):
    good = {"recipe": Recipe.preset("official"), "teacher": "fashion_mini"}
    settings = experiments.Settings(**(good | changes))
    assert settings.configuration().get("augment") == kept
    assert settings.augment == (kept or "crop+flip")
    search = SearchSettings(recipe=good["recipe"], **changes)
    assert search.configuration().get("augment") == kept


@pytest.mark.parametrize(
    "views", [pytest.param(None, marks=pytest.mark.long), 2]
)
def test_mixed_labels_train_every_phase(distill_arguments, tmp_path, views):
    words = [*distill_arguments, f"--run_dir={tmp_path}/run"]
    words += ["--augment=crop+randaugment+mixup+cutmix", "--quantization=none"]
    words += [f"--views={views}"] if views else []
    assert main(words) == 0
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    asked = "crop+randaugment+mixup+cutmix"
    assert content["configuration"]["augment"] == asked
    assert content["notes"]["dataset"]["augment"] == asked
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    # One-hot rows or not, the test is the same.
    plain = keras_ft.data.load("fashion_mini", train_examples=256)
    student = keras.models.load_model(tmp_path / "run" / "student.keras")
    right = [
        np.argmax(student.predict_on_batch(x), axis=1) == y
        for x, y in plain.test
    ]
    known = float(np.mean(np.concatenate(right)))
    assert metrics["ft_accuracy"] == pytest.approx(known)
    assert main([*words[:-1], "--augment=none"]) == 2


def test_a_teacher_for_other_images_is_refused(tmp_path, network, capsys):
    path = tmp_path / "teacher.keras"
    network().save(path)
    arguments = ["distill", f"--teacher={path}", f"--run_dir={tmp_path}/run"]
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert "(8, 8, 3), 4 classes" in error
    assert "(28, 28, 1), 10 classes" in error


def test_a_run_that_never_trained_may_be_changed(tmp_path, capsys):
    missing = ["distill", "--teacher=absent.keras", f"--run_dir={tmp_path}"]
    assert main(missing) == 2
    assert "existing .keras file" in capsys.readouterr().err
    missing[1] = "--teacher=another.keras"
    assert main(missing) == 2
    assert "another.keras" in capsys.readouterr().err
