import re

import pytest

from keras_ft.report import write_benchmark
from keras_ft.report.benchmark_page import pareto_front
from keras_ft.report.benchmark_page import pareto_plots


def _row(name, accuracy, milliseconds, size, **changes):
    return {
        "file": name,
        "bytes": size,
        "gzip_bytes": size // 2,
        "latency": [
            {"threads": 1, "median_ms": milliseconds, "p90_ms": 9, "runs": 5}
        ],
        "accuracy": accuracy,
        "agreement": 0.987,
        "error": None,
        "pareto": True,
        **changes,
    }


@pytest.fixture
def benchmark():
    return {
        "machine": "Abacus <1>, 2 cores",
        "runs": 5,
        "threads": [1],
        "dataset": "fashion_mini",
        "test_examples": 1234,
        "keras_accuracy": 0.861,
        "files": [
            _row("a.tflite", 0.86, 0.25, 300_000),
            _row("b.tflite", 0.84, 0.125, 90_000, pareto=False),
            _row(
                "<c>.tflite",
                None,
                0.0,
                7,
                latency=[],
                gzip_bytes=None,
                error="crashed: a file that crashed LiteRT (SIGSEGV)",
                pareto=False,
            ),
        ],
    }


def test_the_front_has_what_nothing_beats():
    points = [(2.0, 90.0), (1.0, 80.0), (3.0, 85.0), (1.0, 79.0), (4.0, 91.0)]
    assert pareto_front(points) == [(1.0, 80.0), (2.0, 90.0), (4.0, 91.0)]


def test_plots_name_files_that_have_an_accuracy(benchmark):
    found = pareto_plots(benchmark)
    assert [plot["title"] for plot in found] == [
        "Accuracy and latency",
        "Accuracy and size",
    ]
    for plot in found:
        assert "a.tflite" in plot["svg"] and "b.tflite" in plot["svg"]
        assert "c&gt;" not in plot["svg"]
        assert "currentColor" in plot["svg"]


def test_files_of_the_same_name_are_told_apart(benchmark):
    benchmark["files"][0]["file"] = "one/a.tflite"
    benchmark["files"][1]["file"] = "two/a.tflite"
    svg = pareto_plots(benchmark)[0]["svg"]
    assert "one/a.tflite" in svg and "two/a.tflite" in svg


def test_one_file_is_not_plotted(benchmark):
    del benchmark["files"][1]
    assert pareto_plots(benchmark) == []


def test_the_page_has_every_number_and_reason(benchmark, tmp_path):
    page = write_benchmark(tmp_path / "new", benchmark)
    text = page.read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    for part in (
        "a.tflite ★ 300 kB 150 kB 98.7 % 86.0 % 0.250 ms",
        "b.tflite 90 kB 45 kB 98.7 % 84.0 % 0.125 ms",
        "&lt;c&gt;.tflite 7 B crashed: a file that crashed LiteRT (SIGSEGV)",
        "Abacus &lt;1&gt;, 2 cores",
        "1,234 test images of fashion_mini; Keras is right on 86.1 %",
        "Pareto-optimal",
    ):
        assert part in words, part
    assert "<script" not in text and "prefers-color-scheme: dark" in text
    assert text.count("<svg") == 2


def test_a_page_without_dataset_has_sizes_and_times(benchmark, tmp_path):
    benchmark |= {"dataset": None, "test_examples": 0, "keras_accuracy": None}
    for row in benchmark["files"]:
        row |= {"accuracy": None, "agreement": None, "pareto": False}
    text = write_benchmark(tmp_path, benchmark).read_text(encoding="utf-8")
    words = " ".join(re.sub(r"<[^>]*>", " ", text).split())
    assert "a.tflite 300 kB 150 kB 0.250 ms" in words
    assert "Pareto" not in words and "<svg" not in text
    assert "accuracy" not in words.lower()
