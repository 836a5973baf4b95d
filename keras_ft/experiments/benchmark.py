"""Several `.tflite` files side by side: size, speed, and who is right."""

import dataclasses
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from keras_ft import artifacts
from keras_ft import data as datasets
from keras_ft import export
from keras_ft import heads
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments.datasets import load_for
from keras_ft.experiments.datasets import load_run_data
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.export.latency import check_counts
from keras_ft.export.litert import TIME_LIMIT
from keras_ft.export.parity import same_class
from keras_ft.export.student import in_float32
from keras_ft.export.student import student_logits

BENCHMARK = "benchmark"
JSON, CSV = "benchmark.json", "benchmark.csv"
TEST_EXAMPLES = 10_000


@dataclasses.dataclass(frozen=True)
class TestImages:
    """Test images, and what is known about them.

    Attributes:
        dataset: Name of the dataset.
        images: Pixels 0..255, uint8, shape (N, H, W, C).
        labels: The right class of each, shape (N,).
        expected: Keras' probabilities (N, classes), to agree with; `None`
            without a student.
        classes: Number of classes.
    """

    __test__ = False  # pytest takes it for a test otherwise.

    dataset: str
    images: np.ndarray
    labels: np.ndarray
    expected: np.ndarray | None
    classes: int

    @classmethod
    def of(
        cls, data: Any, student: keras.Model | None, count: int
    ) -> "TestImages":
        """Return at most `count` test images of a dataset.

        Args:
            data: What `data.load` returned.
            student: Returns logits, which are asked for; `None` for none.
            count: How many images, at most.

        Raises:
            InputError: The student does not fit the dataset.
        """
        count = min(count, data.sizes["test"])
        images, labels = data.examples("test", count)
        expected = None
        if student is not None:
            networks.check_fit(student, data, "student")
            scaling = data.normalization.scale_and_shift()
            network = in_float32(heads.logits_model(student))
            logits = student_logits(network, images, scaling)
            expected = softmax(logits, axis=-1)
        return cls(data.name, images, labels, expected, data.classes)

    @property
    def keras_accuracy(self) -> float | None:
        """Return Keras' share of right answers, 0..1."""
        if self.expected is None:
            return None
        right = np.argmax(self.expected, axis=-1) == self.labels
        return float(right.mean())


@dataclasses.dataclass(frozen=True)
class FileResult:
    """Hold the measurements of one file.

    Attributes:
        file: As the user named it.
        bytes: Its size.
        gzip_bytes: Its size when compressed, as in a download; `None` where
            the file could not be run.
        latency: For each number of threads; empty likewise.
        accuracy: Share, 0..1, of right answers on test images; `None` without
            a dataset.
        agreement: Share, 0..1, of those with Keras' answer; `None` without a
            student.
        error: Why something is missing; `None` when all went well.
    """

    file: str
    bytes: int
    gzip_bytes: int | None = None
    latency: tuple[export.Latency, ...] = ()
    accuracy: float | None = None
    agreement: float | None = None
    error: str | None = None

    @property
    def costs(self) -> tuple[float, ...] | None:
        """Return what should be small: errors, milliseconds and bytes.

        `None` where accuracy or latency is not known.
        """
        if self.accuracy is None or not self.latency:
            return None
        return -self.accuracy, self.latency[0].median_ms, self.bytes


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
        **measurement: `threads`, `runs`, `seconds` and `echo` of
            `compare_files`.

    Returns:
        What `compare_files` returns.

    Raises:
        InputError: The folder has no finished student or no such file.
    """
    with RunFolder(run_dir) as run:
        paths = paths or sorted(run.path.glob("*.tflite"))
        check_request(paths, **measurement)
        _verify_own(run, paths)
        student = networks.load_recorded(run.path, "student.keras")
        data = load_run_data(run, data_dir)
        test = TestImages.of(data, student, test_examples)
        content = compare_files(paths, test, **measurement)
        for row in content["files"]:
            # A run folder may be moved.
            if _is_own(run, row["file"]):
                row["file"] = Path(row["file"]).name
        if record:
            write_tables(run.path, content)
            run.finish(BENCHMARK, [JSON, CSV], content)
        return content


def _is_own(run: RunFolder, path: artifacts.PathLike) -> bool:
    return Path(path).parent.resolve() == run.path.resolve()


def _verify_own(run: RunFolder, paths: Sequence[artifacts.PathLike]) -> None:
    """Refuse a file of the run that is not as it was exported."""
    recorded = artifacts.manifest(run.path)
    for path in map(Path, paths):
        if _is_own(run, path) and path.name in recorded:
            artifacts.verify(run.path, path.name)


def benchmark_files(
    paths: Sequence[artifacts.PathLike],
    student: artifacts.PathLike | None = None,
    dataset: str | None = None,
    data_dir: artifacts.PathLike | None = None,
    test_examples: int = TEST_EXAMPLES,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
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
        image_size: To resize the images to, see `data.load`.
        skip_unreadable: See `data.load`.
        **measurement: `threads`, `runs`, `seconds` and `echo` of
            `compare_files`.

    Returns:
        What `compare_files` returns.

    Raises:
        InputError: There is no such file, or the student lacks a dataset or
            does not fit it.
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
        return compare_files(paths, None, **measurement)
    network = None
    options: dict[str, Any] = {
        "data_dir": data_dir,
        "image_size": image_size,
        "skip_unreadable": skip_unreadable,
    }
    if student is None:
        data = datasets.load(dataset, **options)
    else:
        network, data = load_for(networks.load(student), dataset, **options)
    test = TestImages.of(data, network, test_examples)
    return compare_files(paths, test, **measurement)


def compare_files(
    paths: Sequence[artifacts.PathLike],
    test: TestImages | None,
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    seconds: float = TIME_LIMIT,
    echo: Echo = silent,
) -> dict[str, Any]:
    """Find out all about `.tflite` files; a bad one does no harm.

    Args:
        paths: Files that exist and take pixels 0..255.
        test: What to ask them; `None` for size and speed alone.
        threads: Each number of threads to time them with.
        runs: How often to run each for its time.
        seconds: Time limit for the timing of a file, and for its answers.
        echo: Called with the name of each file before it is run.

    Returns:
        JSON values: `machine`, `runs`, `threads`, `dataset`, `test_examples`,
        `keras_accuracy`, and in `files` for each the fields of a `FileResult`
        and `pareto`, whether no other is at least as good in accuracy,
        latency and size, and better in one.

    Raises:
        InputError: There is no file, or no such file, or a number is below 1.
    """
    check_request(paths, threads, runs)
    rows = []
    for path in paths:
        echo(str(path))
        rows.append(_examined(Path(path), test, threads, runs, seconds))
    return {
        "machine": export.machine(),
        "runs": runs,
        "threads": list(threads),
        "dataset": test.dataset if test else None,
        "test_examples": len(test.labels) if test else 0,
        "keras_accuracy": test.keras_accuracy if test else None,
        "files": [
            {**dataclasses.asdict(row), "pareto": best}
            for row, best in zip(rows, pareto_optimal(rows), strict=True)
        ],
    }


def pareto_optimal(rows: Sequence[FileResult]) -> list[bool]:
    """Return for each file whether it is beaten by no other.

    A file is beaten by one that is at least as good in accuracy, latency and
    size, and better in one of them. One without accuracy or latency never
    counts.
    """
    known = [row.costs for row in rows if row.costs is not None]
    return [
        row.costs is not None
        and not any(
            other != row.costs
            and all(a <= b for a, b in zip(other, row.costs, strict=True))
            for other in known
        )
        for row in rows
    ]


def write_tables(folder: artifacts.PathLike, content: dict[str, Any]) -> None:
    """Write a benchmark as `benchmark.json` and `benchmark.csv`.

    Args:
        folder: Where to; made if it is missing.
        content: What `compare_files` returned.
    """
    artifacts.write_json(Path(folder) / JSON, content)
    rows = []
    for row in content["files"]:
        flat = {name: row[name] for name in row if name != "latency"}
        for latency in row["latency"]:
            for name in ("median_ms", "p90_ms"):
                flat[f"{name}_{latency['threads']}_threads"] = latency[name]
        rows.append(flat)
    artifacts.write_csv(Path(folder) / CSV, rows)


def check_request(
    paths: Sequence[artifacts.PathLike],
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    **others: Any,
) -> None:
    """Refuse what `compare_files` could not use, before anything is loaded.

    Raises:
        InputError: There is no file, or no such file, or a number is below 1.
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


def _examined(
    path: Path,
    test: TestImages | None,
    threads: Sequence[int],
    runs: int,
    seconds: float,
) -> FileResult:
    row = FileResult(str(path), path.stat().st_size)
    try:
        latency = export.measure_latency(path, threads, runs, seconds)
        packed = len(gzip.compress(path.read_bytes(), mtime=0))
        row = dataclasses.replace(row, latency=latency, gzip_bytes=packed)
        return row if test is None else _graded(row, test, seconds)
    except export.ModelFileError as error:
        return dataclasses.replace(row, error=f"{error.kind}: {error.reason}")


def _graded(row: FileResult, test: TestImages, seconds: float) -> FileResult:
    path = Path(row.file)
    answers = export.classify_isolated(path, test.images, seconds)
    if answers.shape[-1] != test.classes:
        raise export.ModelFileError(
            path,
            "refused",
            f"it tells {answers.shape[-1]} classes apart, {test.dataset} has "
            f"{test.classes}",
        )
    agreement = None
    if test.expected is not None:
        agreement = float(same_class(test.expected, answers).mean())
    right = np.argmax(answers, axis=-1) == test.labels
    accuracy = float(right.mean())
    return dataclasses.replace(row, accuracy=accuracy, agreement=agreement)
