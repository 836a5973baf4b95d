"""The folder for an Android developer, filled in from what a run knows."""

from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import data
from keras_ft import export
from keras_ft.experiments import models
from keras_ft.experiments.balancing import beta_of
from keras_ft.experiments.distillation import METRICS
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.workbench import load_run_data

# For calibration; and for the numbers on the card, which take longer.
CALIBRATION, SAMPLES = 512, 2000
# Of the accuracies in metrics.json.
_NETWORKS = {
    "teacher_accuracy": "teacher",
    "ft_accuracy": "this student in Keras",
    "student_accuracy": "the same student, labels only",
    "kd_accuracy": "the same student, soft targets (KD)",
}


def bundle_run(
    run_dir: artifacts.PathLike,
    folder: artifacts.PathLike | None = None,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    **options: Any,
) -> export.BundleResult:
    """Hand a finished run's student over.

    Args:
        run_dir: The run's folder.
        folder: Where to; `None` for `bundle` in the run's folder.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        **options: `author`, `license`, `package` and `fallback`, see
            `export.bundle`.

    Returns:
        See `export.bundle`.

    Raises:
        InputError: The folder has no finished student, or see
            `export.bundle`.

    Example:

    >>> bundle_run("runs/first", author="Ann", license="Apache-2.0").folder
    PosixPath('runs/first/bundle')
    """
    with RunFolder(run_dir) as run:
        student = models.load_recorded(run.path, "student.keras")
        loaded = load_run_data(run, data_dir)
        target = folder or run.path / "bundle"
        told = _of_run(run)
        return _bundle(student, target, loaded, quantization, told, **options)


def bundle_file(
    student: artifacts.PathLike,
    folder: artifacts.PathLike | None,
    dataset: str,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    **options: Any,
) -> export.BundleResult:
    """Hand a student over that is no part of a run.

    Args:
        student: A `.keras` file.
        folder: Where to; `None` for `<name of the file>_bundle` beside it.
        dataset: Its images calibrate and check, and its normalization is
            built in.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        **options: `author`, `license`, `package` and `fallback`, see
            `export.bundle`.

    Returns:
        See `export.bundle`.

    Example:

    >>> bundle_file("student.keras", None, "cifar10").folder
    PosixPath('student_bundle')
    """
    network = models.load(student)
    loaded = data.load(dataset, data_dir=data_dir)
    models.check_fit(network, loaded, "student")
    path = Path(student)
    target = folder or path.with_name(f"{path.stem}_bundle")
    told = {"student": _size(network.name, network.count_params())}
    return _bundle(network, target, loaded, quantization, told, **options)


def _bundle(
    student: keras.Model,
    folder: artifacts.PathLike,
    loaded: Any,
    quantization: str,
    told: dict[str, Any],
    author: str = "",
    license: str = "",
    **options: Any,
) -> export.BundleResult:
    sizes = loaded.sizes
    images, labels = loaded.examples("test", min(SAMPLES, sizes["test"]))
    calibration, _ = loaded.examples("train", min(CALIBRATION, sizes["train"]))
    return export.bundle(
        student,
        folder,
        quantization,
        calibration=calibration,
        normalization=loaded.normalization,
        class_names=loaded.class_names,
        samples=images,
        labels=labels,
        card=export.ModelCard(
            author=author,
            license=license,
            tested_on=f"from the {sizes['test']:,} test images of "
            f"{_name(loaded.name)}",
            notes=tuple(loaded.notes),
            **told,
        ),
        **options,
    )


def _of_run(run: RunFolder) -> dict[str, Any]:
    """What the run's records say, as fields of a `ModelCard`."""
    about = run.configuration
    recipe, dataset = about["recipe"], run.content["notes"]["dataset"]
    metrics = artifacts.read_json(artifacts.verify(run.path, METRICS))
    distil = recipe["distil"]
    name = _name(about["student"])
    sizes = dataset["sizes"]
    return {
        "name": name.removesuffix(models.KERAS),
        "data": f"{_name(dataset['name'])}: {sizes['train']:,} images; "
        f"{sizes['validation']:,} more to watch the training, "
        f"{sizes['test']:,} to test",
        "teacher": _size(
            _name(about["teacher"] or about["teacher_network"]),
            metrics["teacher_parameters"],
        ),
        "student": _size(name, metrics["student_parameters"]),
        "method": "Factor Transfer (Kim, Park, Kwak 2018, arXiv:1802.04977), "
        f"recipe {recipe['name']}: {recipe['source']}",
        "settings": {
            "rate": recipe["rate"],
            "beta": beta_of(run),
            "p": recipe["p"],
            "epochs of phase 1 (paraphrase)": recipe["paraphrase"]["epochs"],
            "epochs of phase 2 (distil)": distil["epochs"],
            "batch size": distil["batch_size"],
            "learning rate": distil["learning_rate"],
            "seed": about["seed"],
        },
        "accuracies": {
            f"{network}, {metrics['test_examples']:,} test images": metrics[key]
            for key, network in _NETWORKS.items()
            if key in metrics
        },
    }


def _name(source: str) -> str:
    """A zoo's or dataset's name as it is; of a path only the end.

    Where things lay on this machine is nobody's business elsewhere.
    """
    path = Path(source)
    return path.name if path.is_absolute() or path.exists() else source


def _size(name: str, parameters: int) -> str:
    return f"{name}, {parameters:,} parameters"
