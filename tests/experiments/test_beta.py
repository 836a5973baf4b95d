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
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments import exporting
from keras_ft.experiments import students
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
    line = f"phase 2: {beta_suggestion.BetaSuggestion(**found)}"
    assert line in printed.splitlines()
    assert f"{found['beta']:.4g}" in line


def test_the_run_trains_with_the_beta_that_it_records(balanced_run):
    content = json.loads((balanced_run / "run.json").read_text())
    found = content["notes"]["beta"]
    assert content["configuration"]["beta_ratio"] == found["ratio"] == 2.0
    assert content["phases"]["ft"]["result"]["beta"] == pytest.approx(
        found["beta"]
    )
    with open(balanced_run / "history" / "ft.csv", newline="") as file:
        (row,) = csv.DictReader(file)
    row = {name: float(value) for name, value in row.items()}
    rest = row["loss"] - row["task_loss"] - row["regularization_loss"]
    assert rest / row["factor_loss"] == pytest.approx(found["beta"], rel=1e-4)
    assert found["beta"] != pytest.approx(500.0, rel=0.01)


def test_what_is_made_of_the_run_has_that_beta(balanced_run):
    with experiments.RunFolder(balanced_run) as run:
        found = run.content["notes"]["beta"]["beta"]
        assert students.beta_of(run) == found
        card = exporting._card_of_run(run)
        assert card["settings"]["beta"] == found
        distiller = exporting.trained_distiller(run)
        assert float(distiller.beta) == pytest.approx(found)


def test_the_report_says_so(balanced_run):
    page = (balanced_run / "report.html").read_text()
    assert "measured on the first batch" in page


class _Data:
    has_unlabelled = False
    class_weights = None

    def __init__(self, batch):
        self.batch = batch
        self.validation = self.train_from(0)

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

    lines = []
    with experiments.RunFolder(tmp_path, {}, echo=lines.append) as run:
        kept = students.measure_beta(run, model(), _Data(batch), 2.0)
    assert lines[0].startswith("phase 2: beta ")
    # Another student would be told another beta; there is no data, either.
    with experiments.RunFolder(tmp_path, {}) as run:
        assert students.measure_beta(run, model(), None, 2.0) == kept
    assert kept["beta"] != 500.0


def settings(ratio):
    return experiments.Settings(
        recipe=Recipe.preset("official"),
        teacher="fashion_mini",
        beta_ratio=ratio,
    )


@pytest.mark.parametrize("ratio", [0.0, -1.0, float("nan")])
def test_a_ratio_is_above_0(ratio):
    with pytest.raises(InputError, match="beta_ratio"):
        settings(ratio)


def test_a_run_without_ratio_is_configured_as_before():
    assert "beta_ratio" not in settings(None).configuration()


def test_two_devices_are_told_the_same_beta(tmp_path, network, batch):
    found = []
    for name in ("none", "mirrored"):
        placement = Placement(name)
        keras.utils.set_random_seed(0)
        with placement.scope():
            paraphraser = Paraphraser(0.5)
            paraphraser.trained = True
            model = Recipe.preset("official").distiller(
                network(8), network(4), paraphraser
            )
        place = tmp_path / name
        with experiments.RunFolder(place, {}, placement=placement) as run:
            kept = students.measure_beta(run, model, _Data(batch), 2.0)
        found.append(kept["beta"])
    assert found[0] == pytest.approx(found[1], rel=1e-5)


def test_several_machines_would_not_ask_together(tmp_path):
    several = SimpleNamespace(name="multi_worker")
    with pytest.raises(InputError, match="one process"):
        experiments.distill(tmp_path / "run", settings(2.0), placement=several)
    assert not (tmp_path / "run").exists()
