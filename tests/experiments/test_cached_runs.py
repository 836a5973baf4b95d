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


def test_what_does_not_go_with_a_cache_is_refused(tmp_path):
    recipe = Recipe.preset("official")
    small = dataclasses.replace(recipe.paraphrase, batch_size=64)
    for changes, told in (
        ({"views": 0}, "1 or more"),
        ({"recipe": recipe.replace(paraphrase=small)}, "batches of 64"),
    ):
        good = {"recipe": recipe, "teacher": "fashion_mini", "views": 2}
        with pytest.raises(InputError, match=told) as refused:
            experiments.Settings(**(good | changes))
        assert refused.value.argument == "views"
    several = SimpleNamespace(strategy="two GPUs", name="mirrored")
    with pytest.raises(InputError, match="one device only"):
        experiments.distill(
            tmp_path, experiments.Settings(**good), placement=several
        )
