"""The committed figures of few labels, in the report of the demo."""

import json
import statistics

import pytest

from keras_ft import report
from keras_ft.report.few_labels import FILE
from keras_ft.report.few_labels import Measured

FIGURES = json.loads(FILE.read_text("utf-8"))
DEMO = {
    "dataset": "fashion_mini",
    "teacher": "fashion_mini",
    "student": "resnet8",
    "labelled_examples": 500,
    "recipe": {"distill": {"epochs": 20}},
}
METRICS = {
    "teacher_accuracy": 0.92,
    "test_examples": 2000,
    "methods": ["ft+kd", "none"],
    "ft+kd_accuracy": 0.87,
    "none_accuracy": 0.78,
}


def test_they_are_the_benchmark_s(root):
    rows = [row for rows in FIGURES["methods"].values() for row in rows]
    assert {row["labels"] for row in rows} >= {500}
    for method, rows in FIGURES["methods"].items():
        for row in rows:
            name = "all" if row["labels"] == 4500 else row["labels"]
            file = root / "benchmarks" / "results" / f"few_labels_{name}.json"
            found = json.loads(file.read_text("utf-8"))
            assert found["about"]["labelled_examples"] == row["labels"]
            accuracies = [
                t["accuracy"]
                for t in found["trainings"]
                if t["method"] == method
            ]
            assert row["seeds"] == len(accuracies)
            assert row["mean"] == pytest.approx(statistics.fmean(accuracies))


def test_the_demo_s_headline_tells_what_the_seeds_say():
    line = report.headline(METRICS, DEMO)
    known = FIGURES["gains"]["ft+kd"]
    (over,) = (row for row in known if row["labels"] == 500)
    assert f"the gain is {over['plain']['mean']:+.1f} points" in line
    assert f"and over KD {over['kd']['mean']:+.1f} points" in line
    assert "One seed" not in line


@pytest.mark.parametrize(
    "change",
    [
        {"student": "resnet20"},
        {"labelled_examples": 123},
        {"recipe": {"distill": {"epochs": 3}}},
    ],
)
def test_another_setting_speaks_for_itself(change):
    assert "One seed" in report.headline(METRICS, DEMO | change)


def test_the_picture_has_a_line_per_method_and_stars_of_the_run():
    found = Measured.of(DEMO)
    plain = found.picture({})
    starred = found.picture({"ft+kd": (500, 0.87)})
    for name in ("labels only", "KD", "FT+KD"):
        assert f">{name}<" in plain
    assert len(starred) > len(plain)
