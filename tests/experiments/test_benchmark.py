import csv
import json

import numpy as np
import pytest

from keras_ft import data
from keras_ft import experiments
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments.benchmark import FileResult
from keras_ft.experiments.benchmark import TestImages
from keras_ft.experiments.benchmark import pareto_optimal
from keras_ft.export import Latency


@pytest.fixture(scope="module")
def loaded():
    return data.load("fashion_mini")


@pytest.fixture
def student(finished_run):
    return networks.load(finished_run / "student.keras")


def _row(accuracy, milliseconds, size, name="x.tflite"):
    latency = () if milliseconds is None else (Latency(1, milliseconds, 9, 5),)
    return FileResult(name, size, 1, latency, accuracy)


@pytest.mark.parametrize(
    ("costs", "expected"),
    [
        ([(0.9, 1.0, 100)], [True]),
        ([(0.9, 1.0, 100), (0.9, 1.0, 90)], [False, True]),
        ([(0.9, 1.0, 100), (0.8, 2.0, 90)], [True, True]),
        ([(0.9, 1.0, 100), (0.9, 1.0, 100)], [True, True]),
        ([(0.9, 1.0, 100), (0.9, 2.0, 100), (0.91, 3.0, 99)], [1, 0, 1]),
        ([(None, 1.0, 1), (0.5, 9.0, 9), (0.9, None, 1)], [0, 1, 0]),
    ],
)
def test_pareto_optimal_files_are_beaten_by_none(costs, expected):
    rows = [_row(*cost) for cost in costs]
    assert pareto_optimal(rows) == [bool(best) for best in expected]


def test_they_know_what_keras_says(loaded, student):
    test = TestImages.of(loaded, student, 50)
    images = loaded.normalization.apply(test.images)
    logits = np.asarray(student(images, training=False))
    assert test.images.dtype == np.uint8 and len(test.labels) == 50
    np.testing.assert_allclose(test.expected.sum(-1), 1, atol=1e-5)
    np.testing.assert_array_equal(
        np.argmax(test.expected, -1), np.argmax(logits, -1)
    )
    right = np.mean(np.argmax(logits, -1) == test.labels)
    assert test.keras_accuracy == pytest.approx(right)


def test_there_are_no_more_images_than_the_test_split(loaded):
    test = TestImages.of(loaded, None, 10**9)
    assert len(test.labels) == loaded.sizes["test"]
    assert test.expected is None and test.keras_accuracy is None


def test_a_bad_file_costs_only_its_row(finished_run, tmp_path):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes((finished_run / "student.tflite").read_bytes()[:500])
    good = finished_run / "student.tflite"
    content = experiments.benchmark_files(
        [bad, good],
        finished_run / "student.keras",
        "fashion_mini",
        test_examples=40,
        threads=(2, 1),
        runs=3,
    )
    refused, measured = content["files"]
    assert refused["error"].startswith("refused: The model is not a valid")
    assert refused["latency"] == () and refused["bytes"] == 500
    assert not refused["pareto"]
    assert measured["error"] is None and measured["pareto"]
    assert measured["agreement"] == 1.0
    assert measured["accuracy"] == content["keras_accuracy"]
    assert measured["bytes"] == good.stat().st_size
    assert 0 < measured["gzip_bytes"] < measured["bytes"]
    assert [it["threads"] for it in measured["latency"]] == [2, 1]
    assert content["test_examples"] == 40


def test_a_file_of_other_classes_keeps_its_times(tmp_path, network, images):
    from keras_ft.export import to_tflite

    path = tmp_path / "other.tflite"
    to_tflite(network(size=28), path, samples=images)
    content = experiments.benchmark_files(
        [path], dataset="fashion_mini", runs=1
    )
    (row,) = content["files"]
    assert "it takes images of shape (1, 28, 28, 3)" in row["error"]
    assert row["accuracy"] is None and len(row["latency"]) == 2


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (40, 28, 28, 3), np.uint8)


def test_tables_hold_every_row(tmp_path):
    files = [
        {
            "file": "a.tflite",
            "bytes": 1,
            "error": None,
            "latency": [{"threads": 2, "median_ms": 3.5, "p90_ms": 4.0}],
        },
        {"file": "b, c.tflite", "bytes": 2, "error": "no", "latency": []},
    ]
    experiments.write_tables(tmp_path / "new", {"files": files})
    written = json.loads((tmp_path / "new" / "benchmark.json").read_text())
    assert written == {"files": files}
    with open(tmp_path / "new" / "benchmark.csv", newline="") as stream:
        first, second = csv.DictReader(stream)
    assert first["median_ms_2_threads"] == "3.5" and first["error"] == ""
    assert second["file"] == "b, c.tflite" and second["error"] == "no"
    assert second["median_ms_2_threads"] == ""


def test_bad_input_is_refused_before_anything_is_loaded(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "load", None)
    missing = tmp_path / "missing.tflite"
    with pytest.raises(InputError, match=r"missing\.tflite"):
        experiments.benchmark_files([missing], None, "fashion_mini")
    with pytest.raises(InputError, match="no file"):
        experiments.benchmark_files([])
    with pytest.raises(InputError, match="Invalid `dataset`"):
        experiments.benchmark_files([__file__], "student.keras")
    with pytest.raises(InputError, match="Invalid `threads`"):
        experiments.benchmark_files([__file__], dataset="cifar10", threads=(0,))
