"""The phone's files of a run, each proven in LiteRT before it appears."""

import dataclasses
import os
import tempfile
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import artifacts
from keras_ft import export
from keras_ft import methods
from keras_ft.compression import compress
from keras_ft.compression.stages import check_export
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments import run_taps
from keras_ft.experiments.datasets import load_for
from keras_ft.experiments.datasets import load_run_data
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import read_metrics
from keras_ft.experiments.students import beta_of
from keras_ft.experiments.training import compile_model
from keras_ft.export.representative_data import MINIMUM
from keras_ft.recipes import Recipe
from keras_ft.zoo import network_names

# Enough to tell a broken file from a good one, in seconds.
SAMPLES = 512
_SPLITS = {"test": "test", "validation": "validation", "train": "training"}
# For the numbers on a model card, which may take longer.
CARD_SAMPLES = 2000


def file_name(quantization: str, compression: str | None = None) -> str:
    """Return `student[_<compression>][_<quantization>].tflite`."""
    parts = (compression, None if quantization == "none" else quantization)
    return f"{'_'.join(['student', *filter(None, parts)])}.tflite"


def export_student(
    student: keras.Model,
    path: artifacts.PathLike,
    data: Any,
    quantization: str,
    fallback: str | None = None,
    samples: int = SAMPLES,
) -> dict[str, Any]:
    """Write one `.tflite` file of a student.

    Args:
        student: The network to convert.
        path: The file to write.
        data: What `data.load` returned; test images check the file, training
            images calibrate it. Where either are fewer than the 32 that are
            needed, images of the other splits join them.
        quantization: See `export.to_tflite`.
        fallback: See `export.to_tflite`.
        samples: How many test images check the file, at most.

    Returns:
        The fields of `export.ExportResult`, but for `path`; and in
        `checked_on` which images these were, as in "512 test images".

    Raises:
        InputError: The file does not agree with Keras; it is not written.
    """
    arguments, which = _images(data, samples)
    result = export.to_tflite(
        student,
        path,
        quantization,
        class_names=data.class_names,
        fallback=fallback,
        **arguments,
    )
    measured = dataclasses.asdict(result)
    del measured["path"]
    return measured | {"checked_on": which}


def checked_on(result: Mapping[str, Any]) -> str:
    """Return in words which images checked a file.

    Args:
        result: What `export_student` returned, or an earlier version of it.
    """
    words: str = result.get("checked_on", f"{result['samples']} test images")
    return words


def check_enough(data: Any) -> None:
    """Refuse too few images to check a `.tflite` file on, before training.

    Raises:
        InputError: There are fewer labelled images than an export needs.
    """
    images, _, found = _checking_images(data, MINIMUM)
    if len(images) < MINIMUM:
        raise InputError(
            "dataset",
            f"{found} with labels",
            f"{MINIMUM} in all at least, on which a .tflite file is compared "
            "with Keras before it is handed over",
            "Add images, or go without the file: --quantization= on the "
            "command line, --noexport for compare.",
        )


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
    """
    with RunFolder(run_dir) as run:
        student = networks.load_recorded(run.path, "student.keras")
        data = load_run_data(run, data_dir)
        return export_into(run, student, data, quantization, fallback)


def export_compressed(
    run_dir: artifacts.PathLike,
    compression: str,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    fallback: str | None = None,
    epochs: int = 5,
) -> tuple[Path, dict[str, Any]]:
    """Compress a run's student with the run's own loss, and write its file.

    Teacher, paraphraser and translator are the run's; `student.keras` stays
    as it is.

    Args:
        run_dir: The run's folder; the file is put there and recorded.
        compression: See `compression.compress`.
        quantization: See `export.to_tflite`; int8 after `"qat"` and what ends
            in it.
        data_dir: Where prepared datasets are.
        fallback: See `export.to_tflite`. The file is named after what it is.
        epochs: Of each stage of the compression.

    Returns:
        The file, and what `export_student` returns.

    Raises:
        InputError: The folder has no finished student, an argument is of no
            use, or the file is not good enough.
    """
    check_export(compression, quantization, fallback)
    with RunFolder(run_dir) as run:
        data = load_run_data(run, data_dir)
        distiller = trained_distiller(run)
        compile_model(distiller, data)
        small = compress(distiller, compression, data.train, epochs=epochs)
        return export_into(
            run, small, data, quantization, fallback, compression
        )


def trained_distiller(run: RunFolder) -> keras.Model:
    """Return what trained the run's student, as it was after training.

    Raises:
        InputError: The student was trained without a teacher.
    """
    about = run.configuration
    method = methods.parse(about["methods"][0])
    if not method.parts:
        raise InputError(
            "run_dir",
            f"{run.path}, whose student was trained on the labels alone",
            "a run with a teacher",
            "Name the folder of a run with --method=ft or another.",
        )
    teacher, student = (
        networks.load_recorded(run.path, f"{name}.keras")
        for name in ("teacher", "student")
    )
    paraphraser = None
    if method.has("ft"):
        network = networks.load_recorded(run.path, "paraphraser.keras")
        paraphraser = network.layers[-1]
    distiller = Recipe.from_dict(about["recipe"]).distiller(
        teacher,
        student,
        paraphraser,
        teacher_layer_name=run_taps.layer(run, "teacher", teacher),
        student_layer_name=run_taps.layer(run, "student", student),
        acceleration=about["acceleration"],
        method=method.name,
    )
    if method.has("ft"):
        factor = distiller.transfers[0]
        factor.beta = beta_of(run)
        translator = networks.load_recorded(run.path, "translator.keras")
        factor.translator.set_weights(translator.layers[-1].get_weights())
    return distiller


def export_into(
    run: RunFolder,
    student: Any,
    data: Any,
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
        data: See `export_student`.
        quantization: See `export.to_tflite`.
        fallback: See `export.to_tflite`.
        compression: How the student was compressed, for the name.

    Returns:
        The file, and what `export_student` returns.
    """
    with tempfile.TemporaryDirectory(
        prefix=artifacts.UNFINISHED, dir=run.path
    ) as aside:
        written = Path(aside, "student.tflite")
        result = export_student(student, written, data, quantization, fallback)
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
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
) -> tuple[Path, dict[str, Any]]:
    """Write a `.tflite` file of a student that is no part of a run.

    Args:
        student: A `.keras` file.
        output: The file to write; `None` puts it beside `student`.
        dataset: Its images calibrate and check. The range of pixels that
            the student takes, which is found as for `distill`, is built in.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        fallback: See `export.to_tflite`. The file is named after what it is.
        image_size: To resize the images to, see `data.load`.
        skip_unreadable: See `data.load`.

    Returns:
        The file, and what `export_student` returns.
    """
    network, data = _student_and_data(
        student, dataset, data_dir, image_size, skip_unreadable
    )
    path = Path(output or Path(student).with_suffix(".tflite"))
    return path, export_student(network, path, data, quantization, fallback)


def bundle_run(
    run_dir: artifacts.PathLike,
    folder: artifacts.PathLike | None = None,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    **options: Any,
) -> export.BundleResult:
    """Write the folder for an Android developer of a finished run's student.

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
    """
    with RunFolder(run_dir) as run:
        student = networks.load_recorded(run.path, "student.keras")
        data = load_run_data(run, data_dir)
        target = folder or run.path / "bundle"
        card = _card_of_run(run)
        return _bundle(student, target, data, quantization, card, **options)


def bundle_file(
    student: artifacts.PathLike,
    folder: artifacts.PathLike | None,
    dataset: str,
    quantization: str = "int8",
    data_dir: artifacts.PathLike | None = None,
    image_size: int | tuple[int, int] | None = None,
    skip_unreadable: bool = False,
    **options: Any,
) -> export.BundleResult:
    """Write the folder of a student that is no part of a run.

    Args:
        student: A `.keras` file.
        folder: Where to; `None` for `<name of the file>_bundle` beside it.
        dataset: Its images calibrate and check. The range of pixels that
            the student takes, which is found as for `distill`, is built in.
        quantization: See `export.to_tflite`.
        data_dir: Where prepared datasets are.
        image_size: To resize the images to, see `data.load`.
        skip_unreadable: See `data.load`.
        **options: `author`, `license`, `package` and `fallback`, see
            `export.bundle`.

    Returns:
        See `export.bundle`.
    """
    network, data = _student_and_data(
        student, dataset, data_dir, image_size, skip_unreadable
    )
    path = Path(student)
    target = folder or path.with_name(f"{path.stem}_bundle")
    card = {"student": _size(network.name, network.count_params())}
    return _bundle(network, target, data, quantization, card, **options)


def _student_and_data(
    student: artifacts.PathLike,
    dataset: str,
    data_dir: artifacts.PathLike | None,
    image_size: int | tuple[int, int] | None,
    skip_unreadable: bool,
) -> tuple[keras.Model, Any]:
    return load_for(
        networks.load(student), dataset, data_dir, image_size, skip_unreadable
    )


def _checking_images(
    data: Any, at_most: int
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return images to check a file on, their labels, and which they are.

    Those of the test split; where it has fewer than an export needs, those
    of validation as well, and where these are too few, of training.
    """
    return _gathered(data, ("test", "validation", "train"), at_most, True)


def _gathered(
    data: Any, splits: Sequence[str], at_most: int, labelled: bool
) -> tuple[np.ndarray, np.ndarray, str]:
    """Return images of the first split, and of more while they are too few."""
    images: list[np.ndarray] = []
    labels: list[np.ndarray] = []
    words: list[str] = []
    for split in splits:
        room = at_most - sum(len(some) for some in images)
        if room <= 0 or (images and at_most - room >= MINIMUM):
            break
        some, theirs = data.examples(
            split, min(room, data.sizes[split]), labelled=labelled
        )
        # With validation_fraction=0 validation is the test split.
        if len(some) and not any(np.array_equal(some, o) for o in images):
            images.append(some)
            labels.append(theirs)
            words.append(f"{len(some):,} {_SPLITS[split]}")
    listed = " and ".join(filter(None, (", ".join(words[:-1]), words[-1])))
    return np.concatenate(images), np.concatenate(labels), f"{listed} images"


def _images(data: Any, samples: int) -> tuple[dict[str, Any], str]:
    """Return the arguments of `export` that are made of images, and which."""
    images, labels, which = _checking_images(data, samples)
    order = ("train", "validation", "test")
    calibration, _, _ = _gathered(data, order, SAMPLES, labelled=False)
    return {
        "calibration": calibration,
        "normalization": data.normalization,
        "samples": images,
        "labels": labels,
    }, which


def _bundle(
    student: keras.Model,
    folder: artifacts.PathLike,
    data: Any,
    quantization: str,
    card: dict[str, Any],
    author: str = "",
    license: str = "",
    **options: Any,
) -> export.BundleResult:
    arguments, which = _images(data, CARD_SAMPLES)
    tested_on = f"the {which}"
    if data.sizes["test"] >= MINIMUM:
        tested_on = f"from the {data.sizes['test']:,} test images"
    return export.bundle(
        student,
        folder,
        quantization,
        class_names=data.class_names,
        card=export.ModelCard(
            author=author,
            license=license,
            tested_on=f"{tested_on} of {_name(data.name)}",
            notes=tuple(data.notes),
            **card,
        ),
        **arguments,
        **options,
    )


def _card_of_run(run: RunFolder) -> dict[str, Any]:
    """Return what the run's records say, as fields of a `ModelCard`."""
    about, notes = run.configuration, run.content["notes"]
    recipe, dataset = about["recipe"], notes["dataset"]
    metrics = read_metrics(run.path)
    first, *others = (methods.parse(name) for name in about["methods"])
    distill, sizes = recipe["distill"], dataset["sizes"]
    settings: dict[str, Any] = {}
    if first.has("ft"):
        settings = {
            "rate": recipe["rate"],
            "beta": beta_of(run),
            "p": recipe["p"],
            "epochs of phase 1 (paraphrase)": recipe["paraphrase"]["epochs"],
        }
    accuracies = {
        "teacher": metrics["teacher_accuracy"],
        "this student in Keras": run.result(first.name)["accuracy"],
    }
    for method in others:
        if run.is_finished(method.name):
            said = "labels only" if not method.parts else method.title
            accuracy = run.result(method.name)["accuracy"]
            accuracies[f"the same student, {said}"] = accuracy
    name = _name(about["student"])
    labelled = dataset.get("labelled_examples")
    known = f", {labelled:,} of them labelled" if labelled else ""
    return {
        "name": name.removesuffix(network_names.KERAS),
        "data": f"{_name(dataset['name'])}: {sizes['train']:,} images{known}; "
        f"{sizes['validation']:,} more to watch the training, "
        f"{sizes['test']:,} to test",
        "teacher": _size(
            _name(about["teacher"] or about["teacher_network"]),
            metrics["teacher_parameters"],
        ),
        "student": _size(name, metrics["student_parameters"]),
        "method": _method(first, recipe),
        "settings": settings
        | {
            "epochs of phase 2 (distill)": distill["epochs"],
            "batch size": distill["batch_size"],
            "learning rate": distill["learning_rate"],
            "seed": about["seed"],
        },
        "accuracies": {
            f"{network}, {metrics['test_examples']:,} test images": accuracy
            for network, accuracy in accuracies.items()
        },
    }


def _method(method: methods.Method, recipe: dict[str, Any]) -> str:
    said = f"recipe {recipe['name']}: {recipe['source']}"
    if method.name == "ft":
        return (
            "Factor Transfer (Kim, Park, Kwak 2018, arXiv:1802.04977), " + said
        )
    return f"{method.title}, {said}"


def _name(source: str) -> str:
    """Return a zoo's or dataset's name as it is; of a path only the end.

    Where things lay on this machine does not belong in what is handed over.
    """
    path = Path(source)
    return path.name if path.is_absolute() or os.path.exists(path) else source


def _size(name: str, parameters: int) -> str:
    return f"{name}, {parameters:,} parameters"
