"""`--beta=auto`: asked once, used, recorded, told."""

import contextlib
import csv
import io
import json
from types import SimpleNamespace

import keras
import pytest

from keras_ft import Paraphraser
from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.errors import InputError
from keras_ft.experiments import balancing
from keras_ft.experiments import compressing
from keras_ft.experiments import handing_over
from keras_ft.models import beta_suggestion
from keras_ft.recipes import Recipe


@pytest.fixture(scope="module")
def balanced(tmp_path_factory, distill_arguments):
    """A run with --beta=auto, and what it printed."""
    folder = tmp_path_factory.mktemp("balanced")
    few = ["--baselines=", "--quantization=none", "--epochs=1"]
    words = [*distill_arguments, *few, "--beta=auto", f"--run_dir={folder}"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(words) == 0
    return folder, printed.getvalue()


@pytest.fixture(scope="module")
def balanced_run(balanced):
    return balanced[0]


def test_the_command_prints_the_beta_it_chose(balanced):
    folder, printed = balanced
    found = json.loads((folder / "run.json").read_text())["notes"]["beta"]
    line = f"distil: {beta_suggestion.BetaSuggestion(**found)}"
    assert line in printed.splitlines()
    assert f"{found['beta']:.4g}" in line


def test_the_run_trains_with_the_beta_that_it_records(balanced_run):
    content = json.loads((balanced_run / "run.json").read_text())
    found = content["notes"]["beta"]
    assert content["configuration"]["beta_ratio"] == found["ratio"] == 2.0
    assert content["phases"]["distil"]["result"]["beta"] == found
    with open(balanced_run / "history" / "distil.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    row = {name: float(value) for name, value in row.items()}
    rest = row["loss"] - row["task_loss"] - row["regularization_loss"]
    assert rest / row["factor_loss"] == pytest.approx(found["beta"], rel=1e-4)
    assert found["beta"] != pytest.approx(500.0, rel=0.01)


def test_what_is_made_of_the_run_has_that_beta(balanced_run):
    with experiments.RunFolder(balanced_run) as run:
        found = run.content["notes"]["beta"]["beta"]
        assert balancing.beta_of(run) == found
        card = handing_over._of_run(run)
        assert card["settings"]["beta"] == found
        distiller = compressing._distiller(run)
        assert float(distiller.beta) == pytest.approx(found)


def test_the_report_says_so(balanced_run):
    page = (balanced_run / "report.html").read_text()
    assert "measured on the first batch" in page


class _Bench:
    """What `balance` uses of a workbench."""

    def __init__(self, run, data, ratio=2.0):
        self.run, self.main_data = run, data
        self.settings = experiments.Settings(
            recipe=Recipe.preset("official"),
            teacher="fashion_mini",
            beta_ratio=ratio,
        )
        self.placement = experiments.Placement()
        self.lines = []
        self.echo = self.lines.append


class _Data:
    def __init__(self, batch):
        self.batch = batch

    def train_from(self, epoch):
        import tensorflow as tf

        return tf.data.Dataset.from_tensors(self.batch).repeat()


def test_a_continued_run_takes_the_recorded_beta(
    tmp_path, network, paraphraser, batch
):
    def model():
        return Recipe.preset("official").distiller(
            network(8), network(4), paraphraser
        )

    first = model()
    with experiments.RunFolder(tmp_path, {}) as run:
        bench = _Bench(run, _Data(batch))
        kept = balancing.balance(bench, first)
    assert bench.lines[0].startswith("distil: beta ")
    # Another student would be told another beta; there is no data, either.
    second = model()
    with experiments.RunFolder(tmp_path, {}) as run:
        assert balancing.balance(_Bench(run, None), second) == kept
    assert float(second.beta) == float(first.beta) != 500.0


def test_without_a_ratio_beta_is_the_recipes(network, paraphraser):
    model = Recipe.preset("official").distiller(
        network(8), network(4), paraphraser
    )
    assert balancing.balance(_Bench(None, None, ratio=None), model) == {}
    assert float(model.beta) == 500.0


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan")])
def test_a_ratio_is_above_0(ratio):
    with pytest.raises(InputError, match="beta_ratio"):
        _Bench(None, None, ratio)


def test_a_run_without_ratio_is_configured_as_before():
    assert "beta_ratio" not in _Bench(None, None, None).settings.configuration()


def test_two_devices_are_told_the_same_beta(tmp_path, network, batch):
    found = []
    for name in ("none", "mirrored"):
        placement = experiments.Placement(name)
        keras.utils.set_random_seed(0)
        with placement.scope():
            paraphraser = Paraphraser(0.5)
            paraphraser.trained = True
            model = Recipe.preset("official").distiller(
                network(8), network(4), paraphraser
            )
        with experiments.RunFolder(tmp_path / name, {}) as run:
            bench = _Bench(run, _Data(batch))
            bench.placement = placement
            balancing.balance(bench, model)
        found.append(float(keras.ops.convert_to_numpy(model.beta)))
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_several_machines_would_not_ask_together(tmp_path):
    settings = experiments.Settings(
        recipe=Recipe.preset("official"), teacher="fashion_mini", beta_ratio=2.0
    )
    several = SimpleNamespace(name="multi_worker")
    with pytest.raises(InputError, match="one process"):
        experiments.distil(tmp_path / "run", settings, placement=several)
    assert not (tmp_path / "run").exists()
