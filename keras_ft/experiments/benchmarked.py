"""The `.tflite` files of a run, or of a student alone, benchmarked."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import data
from keras_ft.errors import InputError
from keras_ft.experiments import models
from keras_ft.experiments.benchmarking import CSV
from keras_ft.experiments.benchmarking import JSON
from keras_ft.experiments.benchmarking import check_request
from keras_ft.experiments.benchmarking import compare
from keras_ft.experiments.benchmarking import write_tables
from keras_ft.experiments.exam import make_exam
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.workbench import load_run_data

BENCHMARK = "benchmark"
TEST_EXAMPLES = 10_000


def benchmark_run(
    run_dir: artifacts.PathLike,
    paths: Sequence[artifacts.PathLike] = (),
    data_dir: artifacts.PathLike | None = None,
    test_examples: int = TEST_EXAMPLES,
    record: bool = True,
    **measurement: Any,
) -> dict[str, Any]:
    """Compare `.tflite` files with the student of a run.

    Args:
        run_dir: The run's folder.
        paths: The files; by default all in the folder.
        data_dir: Where prepared datasets are.
        test_examples: At most so many images of the test split.
        record: Keep the results in the run's folder, for its report.
        **measurement: `threads`, `runs`, `seconds` and `echo` of `compare`.

    Returns:
        What `compare` returns.

    Raises:
        InputError: The folder has no finished student or no such file.

    Example:

    >>> benchmark_run("runs/first", runs=50)["files"][0]["agreement"]
    1.0
    """
    with RunFolder(run_dir) as run:
        paths = paths or sorted(run.path.glob("*.tflite"))
        check_request(paths, **measurement)
        student = models.load_recorded(run.path, "student.keras")
        exam = make_exam(load_run_data(run, data_dir), student, test_examples)
        content = compare(paths, exam, **measurement)
        for row in content["files"]:
            # A run folder may be moved.
            path = Path(row["file"])
            if path.parent.resolve() == run.path.resolve():
                row["file"] = path.name
        if record:
            write_tables(run.path, content)
            run.finish(BENCHMARK, [JSON, CSV], content)
        return content


def benchmark_files(
    paths: Sequence[artifacts.PathLike],
    student: artifacts.PathLike | None = None,
    dataset: str | None = None,
    data_dir: artifacts.PathLike | None = None,
    test_examples: int = TEST_EXAMPLES,
    **measurement: Any,
) -> dict[str, Any]:
    """Compare `.tflite` files that are no part of a run.

    Args:
        paths: The files.
        student: A `.keras` file to agree with.
        dataset: Its test images are asked about; `None` for size and speed
            alone.
        data_dir: Where prepared datasets are.
        test_examples: At most so many images of the test split.
        **measurement: `threads`, `runs`, `seconds` and `echo` of `compare`.

    Returns:
        What `compare` returns.

    Raises:
        InputError: There is no such file, or the student lacks a dataset or
            does not fit it.

    Example:

    >>> benchmark_files(["a.tflite", "b.tflite"], dataset="cifar10")
    """
    check_request(paths, **measurement)
    if dataset is None:
        if student is not None:
            raise InputError(
                "dataset",
                f"none, with student={student}",
                "the dataset whose test images both are asked about",
                "Name the dataset the student was trained on.",
            )
        return compare(paths, None, **measurement)
    network = None if student is None else models.load(student)
    loaded = data.load(dataset, data_dir=data_dir)
    exam = make_exam(loaded, network, test_examples)
    return compare(paths, exam, **measurement)
