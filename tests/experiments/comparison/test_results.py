"""The results of a comparison, and the files that hold them."""

import csv
import json
import shutil

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import InputError
from keras_ft import artifacts
from keras_ft import report
from keras_ft.experiments import peak_memory


def test_every_method_and_seed_is_there(finished):
    assert [m.name for m in finished.methods] == ["none", "kd", "ft+at"]
    assert len(finished.trainings) == 6
    assert not finished.failures
    for training in finished.trainings:
        assert 0 <= training.accuracy <= 1
        assert training.seconds > 0
        assert (finished.run_dir / training.folder / "student.keras").exists()


def test_methods_share_start_and_batches_and_seeds_do_not(finished):
    for field in ("initial_weights", "first_batch"):
        found = {}
        for training in finished.trainings:
            found.setdefault(training.seed, set()).add(getattr(training, field))
        assert {len(digests) for digests in found.values()} == {1}, field
    batches = {training.first_batch for training in finished.trainings}
    assert len(batches) == 2


def test_accuracies_are_those_of_the_saved_students(finished, few_images):
    data = keras_ft.data.load(few_images)
    images, labels = data.examples("test", 60)
    for training in finished.trainings[::3]:
        student = keras.models.load_model(
            finished.run_dir / training.folder / "student.keras"
        )
        logits = student.predict(data.normalization.apply(images), verbose=0)
        accuracy = float(np.mean(logits.argmax(-1) == labels))
        assert accuracy == pytest.approx(training.accuracy, abs=1e-3)


@pytest.mark.skipif(not peak_memory.forget(), reason="the system tells none")
def test_memory_is_measured_for_every_training(finished):
    for training in finished.trainings:
        assert training.memory_bytes > 100e6
        assert training.memory_of == peak_memory.measured()[1]


def test_the_table_names_every_method_and_its_mean(finished):
    head, *lines = finished.table().splitlines()
    assert "over plain, 95 % CI" in head
    for method, line in zip(finished.methods, lines, strict=True):
        mean = np.mean([t.accuracy for t in method.trainings])
        assert line.startswith(method.title)
        assert f"{100 * mean:.2f} ±" in line


def test_verdicts_are_against_plain_and_kd(finished):
    sentences = finished.verdicts()
    assert len(sentences) == 2 + 1
    assert sentences[-1].startswith("FT+AT") and "KD" in sentences[-1]
    assert all("two seeds only" in sentence for sentence in sentences)


def test_files_hold_the_same_numbers(finished):
    folder = finished.run_dir
    content = json.loads((folder / "comparison.json").read_text())
    with open(folder / "methods.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    with open(folder / "trainings.csv", newline="") as file:
        single = list(csv.DictReader(file))
    assert len(single) == len(content["trainings"]) == 6
    for method, entry, row in zip(
        finished.methods, content["methods"], rows, strict=True
    ):
        assert entry["accuracy_mean"] == method.mean("accuracy")
        assert float(row["accuracy_mean"]) == method.mean("accuracy")
        if method.over_plain is not None:
            assert float(row["over_plain_low"]) == method.over_plain.low
    latex = (folder / "methods.tex").read_text()
    body = latex.split(r"\midrule")[1].split(r"\bottomrule")[0]
    columns = latex.split(r"\begin{tabular}{")[1].split("}")[0]
    for line in body.strip().splitlines():
        assert line.count("&") == len(columns) - 1
        assert line.endswith(r"\\") and line.count("$") % 2 == 0


def test_the_teachers_outputs_are_removed_when_all_is_done(finished):
    assert not (finished.run_dir / "teacher_outputs").exists()


@pytest.mark.parametrize(
    ("change", "key"),
    [
        (
            lambda c: c["trainings"][0].update(folder="../x"),
            "trainings[0].fold",
        ),
        (lambda c: c["trainings"][0].pop("accuracy"), "trainings[0].accuracy"),
        (lambda c: c["methods"][1].update(over_plain=3), "methods[1].over_pla"),
        (lambda c: c["about"].pop("seconds"), "about.seconds"),
        (lambda c: c.update(verdicts="better"), "verdicts"),
    ],
)
def test_a_wrong_key_of_a_comparison_is_named(change, key, finished, tmp_path):
    folder = shutil.copytree(finished.run_dir, tmp_path / "copy")
    content = artifacts.read_json(folder / "comparison.json")
    change(content)
    artifacts.write_json(folder / "comparison.json", content)
    with pytest.raises(InputError, match=r"comparison\.json.*SHA-256"):
        report.write_comparison(folder)
    artifacts.record(folder, ["comparison.json"])
    with pytest.raises(InputError) as caught:
        report.write_comparison(folder)
    assert caught.value.argument.startswith(key)
    assert "comparison.json" in caught.value.argument
