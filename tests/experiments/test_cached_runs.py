"""Runs that train from a feature cache."""

import csv
import dataclasses
import json
from types import SimpleNamespace

import keras
import numpy as np
import pytest

from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.errors import InputError
from keras_ft.experiments.distill import paraphrase_views
from keras_ft.experiments.distill import sized
from keras_ft.recipes import Recipe


def history(folder, phase):
    with open(folder / "history" / f"{phase}.csv", newline="") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def test_one_teacher_pass_and_nearly_the_numbers_of_an_online_run(
    finished_run, distill_arguments, tmp_path, computed, capsys
):
    folder = tmp_path / "run"
    words = [*distill_arguments, "--views=9", f"--run_dir={folder}"]
    words += ["--baselines=kd", "--quantization="]
    assert main(words) == 0
    about = json.loads((folder / "run.json").read_text())
    sizes = about["notes"]["dataset"]["sizes"]
    # Two epochs need two of the nine views; four batches measure the time.
    rows = 2 * sizes["train"] + sizes["validation"]
    assert sum(computed[4:]) == rows + sizes["test"]
    assert about["notes"]["teacher_pass_seconds"] > 0
    assert about["configuration"]["views"] == 9
    assert not (folder / "teacher_outputs").exists()
    for phase in ("paraphrase", "ft", "kd"):
        online, cached = history(finished_run, phase), history(folder, phase)
        for one, other in zip(online, cached, strict=True):
            assert other["loss"] == pytest.approx(one["loss"], rel=2e-3)
    for name in ("student", "student_kd"):
        one, other = (
            keras.models.load_model(place / f"{name}.keras").get_weights()
            for place in (finished_run, folder)
        )
        for mine, theirs in zip(one, other, strict=True):
            np.testing.assert_allclose(mine, theirs, atol=5e-3)
    # Once more: everything is there, and no teacher runs.
    computed.clear()
    assert main(words) == 0
    assert "ft: done before" in capsys.readouterr().out
    assert not computed


def test_phase_1_in_steps_has_a_few_views_of_its_own(
    distill_arguments, tmp_path, computed, capsys
):
    folder = tmp_path / "run"
    words = [
        word
        for word in distill_arguments
        if not word.startswith(("--paraphrase", "--baselines", "--quant"))
    ]
    words += ["--quantization=", f"--run_dir={folder}"]
    # 231 images in batches of 32: eight steps an epoch.
    assert main([*words, "--paraphrase_steps=57"]) == 0
    about = json.loads((folder / "run.json").read_text())
    sizes = about["notes"]["dataset"]["sizes"]
    assert about["configuration"]["recipe"]["paraphrase"]["epochs"] == 8
    assert about["configuration"]["paraphrase_views"] == 4
    rows = 4 * sizes["train"] + sizes["validation"] + sizes["test"]
    assert sum(computed[4:]) == rows
    assert not (folder / "teacher_outputs").exists()
    epochs = history(folder, "paraphrase")
    assert len(epochs) == 8
    kept = about["phases"]["paraphrase"]["result"]["variance_kept"]
    assert kept == epochs[-1]["val_variance_kept"] < 0.8
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics["variance_kept"] == kept
    told = f"keeps {kept:.1%} of the variance of the teacher's features"
    out = capsys.readouterr().out
    assert f"paraphraser: {told}" in out and "paraphraser: WARNING" in out
    page = (folder / "report.html").read_text("utf-8").replace("&#39;", "'")
    assert page.count(told) == 1 and page.count("a poor reconstruction") == 1
    # Eight epochs however they were asked for, but not the same teacher pass.
    assert main([*words, "--paraphrase_epochs=8"]) == 2
    assert "paraphrase_views" in capsys.readouterr().err
    both = [*words, "--paraphrase_epochs=8", "--paraphrase_steps=64"]
    assert main(both) == 2
    assert "two lengths of phase 1" in capsys.readouterr().err


OFFICIAL = Recipe.preset("official")
ONE = SimpleNamespace(strategy=None)


@pytest.mark.parametrize(
    ("steps_per_epoch", "changes", "epochs", "views"),
    [
        (36, {}, 66, 4),
        (352, {}, 7, None),  # CIFAR-10 less a tenth
        (391, {}, 6, None),
        (36, {"methods": ("none", "kd")}, 6, None),
        (36, {"views": 2}, 66, None),
        (36, {"recipe": OFFICIAL.scheduled(paraphrase_epochs=66)}, 66, None),
        (36, {"recipe": OFFICIAL.scheduled(paraphrase_steps=200)}, 6, None),
        (36, {"recipe": OFFICIAL.scheduled(paraphrase_steps=288)}, 8, 4),
        # 34 epochs for 30: about as published.
        (704, {"recipe": Recipe.preset("repdistiller")}, 34, None),
    ],
)
def test_what_the_size_of_the_data_decides(
    steps_per_epoch, changes, epochs, views
):
    def load(batch_size):
        return SimpleNamespace(steps_per_epoch=steps_per_epoch)

    asked = {"recipe": OFFICIAL, "teacher": "fashion_mini", **changes}
    found = sized(experiments.Settings(**asked), load, ONE)
    assert found.recipe.paraphrase.epochs == epochs
    assert found.paraphrase_views == views
    assert found.recipe.paraphrase_steps == 0
    assert sized(found, load, ONE) == found
    several = SimpleNamespace(strategy="two GPUs")
    shared = sized(experiments.Settings(**asked), load, several)
    assert shared.paraphrase_views is None


def test_large_features_are_not_kept_unasked():
    asked = {"recipe": OFFICIAL, "teacher": "fashion_mini"}
    settings = experiments.Settings(**asked, paraphrase_views=4)
    rows = {"train": 900, "validation": 0, "test": 400}
    data = SimpleNamespace(rows=rows.get)
    # 4,000 rows of float16.
    for shape, views in (
        ((7, 7, 64), 4),
        ((16, 16, 1048), 4),
        ((16, 16, 1049), None),
        ((None, None, 64), None),
    ):
        tap = SimpleNamespace(shape=shape)
        assert paraphrase_views(settings, data, tap) == views


def test_what_does_not_go_with_a_cache_is_refused(tmp_path):
    recipe = Recipe.preset("official")
    small = dataclasses.replace(recipe.paraphrase, batch_size=64)
    for argument, changes, told in (
        ("views", {"views": 0}, "1 or more"),
        ("paraphrase_views", {"paraphrase_views": 0}, "1 or more"),
        (
            "views",
            {"recipe": recipe.replace(paraphrase=small)},
            "batches of 64",
        ),
    ):
        good = {"recipe": recipe, "teacher": "fashion_mini", "views": 2}
        with pytest.raises(InputError, match=told) as refused:
            experiments.Settings(**(good | changes))
        assert refused.value.argument == argument
    several = SimpleNamespace(strategy="two GPUs", name="mirrored")
    with pytest.raises(InputError, match="one device only"):
        experiments.distill(
            tmp_path, experiments.Settings(**good), placement=several
        )
