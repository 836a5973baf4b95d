"""The phone's files of a run, each proven in LiteRT before it appears."""

import dataclasses
import tempfile
from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import data
from keras_ft import export
from keras_ft.experiments import models
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.workbench import load_run_data

# Enough to tell a broken file from a good one, in seconds.
SAMPLES = 512


def file_name(quantization: str, compression: str | None = None) -> str:
    """`student.tflite`, or `student_<compression>_<quantization>.tflite`."""
    parts = (compression, None if quantization == "none" else quantization)
    return f"{'_'.join(['student', *filter(None, parts)])}.tflite"


def export_student(
    student: keras.Model,
    path: artifacts.PathLike,
    loaded: Any,
    quantization: str,
    fallback: str | None = None,
    samples: int = SAMPLES,
) -> dict[str, Any]:
    """Write one `.tflite` file of a student.

    Args:
        student: The network to convert.
        path: The file to write.
        loaded: What `data.load` returned; test images check the file, training
            images calibrate it.
        quantization: See `export.to_tflite`.
        fallback: See `export.to_tflite`.
        samples: How many test images check the file, at most.

    Returns:
        The fields of `export.ExportResult`, but for `path`.

    Raises:
        InputError: The file does not agree with Keras; it is not written.

    Example:

    >>> export_student(student, "student.tflite", data, "none")["agreement"]
    1.0
    """
    sizes = loaded.sizes
    images, labels = loaded.examples("test", min(samples, sizes["test"]))
    calibration, _ = loaded.examples("train", min(SAMPLES, sizes["train"]))
    result = export.to_tflite(
        student,
        path,
        quantization,
        calibration=calibration,
        normalization=loaded.normalization,
        class_names=loaded.class_names,
        samples=images,
        labels=labels,
        fallback=fallback,
    )
    measured = dataclasses.asdict(result)
    del measured["path"]
    return measured


def export_run(
    run_dir: artifacts.PathLike,
    quantization: str,
    data_dir: artifacts.PathLike | None = None,
    fallback: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write another `.tflite` file of a finished run's student.

    Args:
        run_dir: The run's folder; the file is put there and recorded.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        fallback: See `export.to_tflite`. The file is named after what it is.

    Returns:
        The file, and what `export_student` returns.

    Raises:
        InputError: The folder has no finished student.

    Example:

    >>> path, result = export_run("runs/first", "int8")
    """
    with RunFolder(run_dir) as run:
        student = models.load_recorded(run.path, "student.keras")
        loaded = load_run_data(run, data_dir)
        return export_into(run, student, loaded, quantization, fallback)


def export_into(
    run: RunFolder,
    student: Any,
    loaded: Any,
    quantization: str,
    fallback: str | None = None,
    compression: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write a `.tflite` file into a run's folder, and record it there.

    It is written aside first: only then is it known what it is named after,
    and a file of an earlier export is replaced by its like alone.

    Args:
        run: The run's folder, entered.
        student: The network to convert.
        loaded: See `export_student`.
        quantization: See `export.to_tflite`.
        fallback: See `export.to_tflite`.
        compression: How the student was compressed, for the name.

    Returns:
        The file, and what `export_student` returns.

    Example:

    >>> with RunFolder("runs/first") as run:
    ...     path, result = export_into(run, student, data, "int8", "dynamic")
    """
    with tempfile.TemporaryDirectory(
        prefix=artifacts.UNFINISHED, dir=run.path
    ) as aside:
        written = Path(aside, "student.tflite")
        result = export_student(
            student, written, loaded, quantization, fallback
        )
        path = run.path / file_name(result["quantization"], compression)
        written.replace(path)
    phase = "_".join(filter(None, ["export", compression]))
    run.finish(f"{phase}_{result['quantization']}", [path.name], result)
    return path, result


def export_file(
    student: artifacts.PathLike,
    output: artifacts.PathLike | None,
    dataset: str,
    quantization: str,
    data_dir: artifacts.PathLike | None = None,
    fallback: str | None = None,
) -> tuple[Path, dict[str, Any]]:
    """Write a `.tflite` file of a student that is no part of a run.

    Args:
        student: A `.keras` file.
        output: The file to write; `None` puts it beside `student`.
        dataset: Its images calibrate and check, and its normalization is
            built in.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        fallback: See `export.to_tflite`. The file is named after what it is.

    Returns:
        The file, and what `export_student` returns.

    Example:

    >>> path, result = export_file("student.keras", None, "cifar10", "none")
    """
    network = models.load(student)
    loaded = data.load(dataset, data_dir=data_dir)
    models.check_fit(network, loaded, "student")
    path = Path(output or Path(student).with_suffix(".tflite"))
    return path, export_student(network, path, loaded, quantization, fallback)
