"""Several `.tflite` files side by side: size, speed, and who is right."""

import csv
import dataclasses
import gzip
import io
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft import artifacts
from keras_ft import export
from keras_ft.errors import InputError
from keras_ft.experiments.exam import Exam
from keras_ft.experiments.file_result import FileResult
from keras_ft.experiments.file_result import pareto_optimal
from keras_ft.export.latency import check_counts
from keras_ft.export.litert import TIME_LIMIT as SECONDS
from keras_ft.export.parity import same_class

JSON = "benchmark.json"
CSV = "benchmark.csv"


def _silent(line: str) -> None:
    """Nobody watches."""


def compare(
    paths: Sequence[artifacts.PathLike],
    exam: Exam | None,
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    seconds: float = SECONDS,
    echo: Callable[[str], None] = _silent,
) -> dict[str, Any]:
    """Examine `.tflite` files one after the other.

    Args:
        paths: Files that exist.
        exam: What to ask them; `None` for size and speed alone.
        threads: Each number of threads to time them with.
        runs: How often to run each for its time.
        seconds: Time limit for the timing of a file, and for its exam.
        echo: Called with the name of each file before it is examined.

    Returns:
        JSON values: `machine`, `runs`, `threads`, `dataset`, `test_examples`,
        `keras_accuracy`, and in `files` for each the fields of a `FileResult`
        and `pareto`, whether no other beats it.

    Raises:
        InputError: There is no file, or no such file, or a number is below 1.

    Example:

    >>> compare(["a.tflite", "b.tflite"], exam)["files"][0]["bytes"]
    1102020
    """
    check_request(paths, threads, runs)
    rows = []
    for path in paths:
        echo(str(path))
        rows.append(examine(path, exam, threads, runs, seconds))
    return {
        "machine": export.machine(),
        "runs": runs,
        "threads": list(threads),
        "dataset": exam.dataset if exam else None,
        "test_examples": len(exam.labels) if exam else 0,
        "keras_accuracy": exam.keras_accuracy if exam else None,
        "files": [
            {**dataclasses.asdict(row), "pareto": best}
            for row, best in zip(rows, pareto_optimal(rows), strict=True)
        ],
    }


def examine(
    path: artifacts.PathLike,
    exam: Exam | None,
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    seconds: float = SECONDS,
) -> FileResult:
    """Find out all about one file; a bad one does no harm.

    Args:
        path: A `.tflite` file that takes pixels 0..255.
        exam: See `compare`.
        threads: See `compare`.
        runs: See `compare`.
        seconds: See `compare`.

    Returns:
        What was found out, or `error`.

    Example:

    >>> examine("student.tflite", exam).accuracy
    0.86
    """
    path = Path(path)
    row = FileResult(str(path), path.stat().st_size)
    try:
        latency = export.measure_latency(path, threads, runs, seconds)
        packed = len(gzip.compress(path.read_bytes(), mtime=0))
        row = dataclasses.replace(row, latency=latency, gzip_bytes=packed)
        return row if exam is None else _graded(row, exam, seconds)
    except export.ModelFileError as error:
        return dataclasses.replace(row, error=f"{error.kind}: {error.reason}")


def _graded(row: FileResult, exam: Exam, seconds: float) -> FileResult:
    path = Path(row.file)
    answers = export.classify_isolated(path, exam.images, seconds)
    if answers.shape[-1] != exam.classes:
        raise export.ModelFileError(
            path,
            "refused",
            f"it tells {answers.shape[-1]} classes apart, {exam.dataset} has "
            f"{exam.classes}",
        )
    agreement = None
    if exam.expected is not None:
        agreement = float(same_class(exam.expected, answers).mean())
    right = np.argmax(answers, axis=-1) == exam.labels
    accuracy = float(right.mean())
    return dataclasses.replace(row, accuracy=accuracy, agreement=agreement)


def write_tables(folder: artifacts.PathLike, content: dict[str, Any]) -> None:
    """Write a benchmark as `benchmark.json` and `benchmark.csv`.

    Args:
        folder: Where to; made if it is missing.
        content: What `compare` returned.

    Example:

    >>> write_tables("results", compare(["a.tflite"], None))
    """
    artifacts.write_json(Path(folder) / JSON, content)
    text = io.StringIO()
    rows = [_flat(row) for row in content["files"]]
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer = csv.DictWriter(text, names, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    artifacts.write_text(Path(folder) / CSV, text.getvalue())


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    flat = {name: value for name, value in row.items() if name != "latency"}
    for latency in row["latency"]:
        for name in ("median_ms", "p90_ms"):
            flat[f"{name}_{latency['threads']}_threads"] = latency[name]
    return flat


def check_request(
    paths: Sequence[artifacts.PathLike],
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    **others: Any,
) -> None:
    """Refuse what `compare` could not use, before anything is loaded.

    Args:
        paths: See `compare`.
        threads: See `compare`.
        runs: See `compare`.
        **others: Its other arguments.

    Raises:
        InputError: There is no file, or no such file, or a number is below 1.

    Example:

    >>> check_request(["a.tflite"], runs=0)
    Traceback (most recent call last):
    keras_ft.errors.InputError: Invalid `runs`. Received: 0. ...
    """
    check_counts(threads, runs)
    missing = [str(path) for path in paths if not Path(path).is_file()]
    if missing or not paths:
        raise InputError(
            "tflite",
            ", ".join(missing) or "no file",
            "existing .tflite files",
            "Check the spelling, or write one with keras-ft export.",
        )
