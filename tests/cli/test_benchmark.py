import json
import runpy
import shutil
from pathlib import Path

import numpy as np
import pytest

from keras_ft.cli.benchmark import lines
from keras_ft.cli.main import main


@pytest.fixture
def copied_run(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "copy")


def test_the_files_of_a_run_and_its_report(copied_run, capsys):
    words = ["benchmark", f"--run_dir={copied_run}", "--runs=3"]
    assert main([*words, "--test_examples=64"]) == 0
    printed = capsys.readouterr().out
    head, first, second = [
        line.split()
        for line in printed.splitlines()
        if line.startswith(("file ", "student"))
    ]
    assert head[0] == "file" and "accuracy" in head
    assert (first[0], second[0]) == (
        "student.tflite",
        "student_dynamic.tflite",
    )
    assert "100.0%" in first and "64 test images" in printed
    assert "LiteRT" in printed
    report = (copied_run / "report.html").read_text(encoding="utf-8")
    assert "Benchmark of the files" in report
    assert "Accuracy and latency" in report
    content = json.loads((copied_run / "benchmark.json").read_text())
    assert [row["file"] for row in content["files"]] == [first[0], second[0]]
    assert (copied_run / "benchmark.csv").exists()
    # The run can still be continued and checked.
    assert main(["taps", f"--run_dir={copied_run}"]) == 0


def test_output_leaves_the_run_alone(finished_run, tmp_path, capsys):
    before = {path: path.stat().st_mtime_ns for path in finished_run.iterdir()}
    words = [
        "benchmark",
        f"--run_dir={finished_run}",
        f"--tflite={finished_run / 'student.tflite'}",
        f"--output={tmp_path / 'out'}",
        "--test_examples=32",
        "--threads=1",
        "--runs=2",
    ]
    assert main(words) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "benchmark.html",
        "benchmark.json",
        "benchmark.csv",
    }
    after = {path: path.stat().st_mtime_ns for path in finished_run.iterdir()}
    lock = finished_run / ".lock"
    assert before | {lock: 0} == after | {lock: 0}


def test_a_bad_file_is_named_after_the_table(finished_run, tmp_path, capsys):
    bad = tmp_path / "bad.tflite"
    bad.write_bytes(b"TFL3" * 100)
    files = f"{bad},{finished_run / 'student.tflite'}"
    assert main(["benchmark", f"--tflite={files}", "--runs=2"]) == 2
    captured = capsys.readouterr()
    assert "not run: refused: The model is not a valid" in captured.out
    assert " ms" in captured.out
    (line,) = captured.err.splitlines()
    assert str(bad) in line and "student.tflite" not in line


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ([], "--run_dir=FOLDER"),
        (["--tflite=a.tflite"], "existing .tflite files"),
        (["--tflite=a.tflite", "--threads=1,x"], "Write --threads=1,2"),
        (["--tflite=a.tflite", "--threads=0"], "Write --threads=1,2"),
        (["--tflite=a.tflite", "--runs=0"], "--runs=0"),
        (["--run_dir=x", "--student=s.keras"], "Leave out --student"),
        (["--run_dir=x", "--dataset=cifar10"], "Leave out --dataset"),
        (["--run_dir=x"], "run folder"),
    ],
)
def test_bad_input_is_one_line(words, expected, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["benchmark", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert expected in line


def test_columns_are_aligned():
    row = {
        "file": "a.tflite",
        "bytes": 1234567,
        "gzip_bytes": 12345,
        "latency": [{"threads": 2, "median_ms": 0.5}],
        "accuracy": 0.5,
        "agreement": None,
        "error": None,
        "pareto": True,
    }
    long = {**row, "file": "much_longer.tflite", "pareto": False, "bytes": 1}
    content = {
        "machine": "Abacus",
        "runs": 7,
        "threads": [2],
        "dataset": "toys",
        "test_examples": 10,
        "keras_accuracy": None,
        "files": [row, long],
    }
    head, first, second, *_ = lines(content)
    assert len(head) == len(first) == len(second)
    assert first.split() == [
        *("a.tflite", "*", "1,234,567", "12,345", "50.00%", "0.500", "ms")
    ]
    assert head.index("accuracy") + 8 == first.index("50.00%") + 6


@pytest.mark.slow
@pytest.mark.parametrize(
    "count", [16, pytest.param(60, marks=pytest.mark.long)]
)
def test_damaged_files_never_end_the_command(
    finished_run, tmp_path, monkeypatch, capsys, count
):
    mutations = Path(__file__).with_name("mutations.py")
    kinds = runpy.run_path(str(mutations))["KINDS"]
    sources = ("student.tflite", "student_dynamic.tflite")
    contents = [(finished_run / name).read_bytes() for name in sources]
    names = []
    for i in range(count):
        kind, damage = list(kinds.items())[i % len(kinds)]
        names.append(f"{i:02}.{kind}.tflite")
        damaged = damage(contents[i % 2], np.random.default_rng(i))
        (tmp_path / names[-1]).write_bytes(damaged)
    monkeypatch.chdir(tmp_path)
    words = [
        "benchmark",
        f"--tflite={','.join(names)}",
        f"--student={finished_run / 'student.keras'}",
        "--dataset=fashion_mini",
        "--test_examples=8",
        "--threads=1",
        "--runs=1",
        "--time_limit=30",
        "--output=out",
    ]
    assert main(words) == 2
    rows = json.loads((tmp_path / "out" / "benchmark.json").read_text())
    assert [row["file"] for row in rows["files"]] == names
    refused = 0
    for row in rows["files"]:
        assert (row["error"] is None) == (row["accuracy"] is not None), row
        refused += row["error"] is not None
    assert refused > count / 3, "the damage is too small"
