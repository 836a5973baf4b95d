"""The whole job in one call: photos in, a folder for the phone out."""

import dataclasses
import hashlib
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft import reading
from keras_ft import report
from keras_ft.errors import InputError
from keras_ft.experiments.exporting import file_name
from keras_ft.experiments.progress import Echo
from keras_ft.export.errors import ExportError
from keras_ft.recipes import Recipe
from keras_ft.zoo import network_names

IMAGES, BUNDLE = "images", "bundle"


@dataclasses.dataclass(frozen=True)
class DistillResult:
    """Hold where the results of `distill` are, and what they came out as.

    Attributes:
        run_dir: The run's folder.
        metrics: Numbers of the run, as in its `metrics.json`; accuracies go
            from 0 to 1.
        report: `report.html` in the folder.
        student: The student, a `.keras` file.
        tflite: The verified file for the phone, float32; `None` where the
            check refused it, see `metrics["export_refused"]`.
        bundle: The folder for an Android developer; `None` if not asked for.

    Example:

    >>> result = keras_ft.distill(
    ...     "fashion_mini", teacher="teacher.keras", student="student.keras",
    ...     run_dir="runs/first", method="kd", epochs=1, bundle=False,
    ...     train_examples=256, echo=lambda line: None)
    >>> result.tflite
    PosixPath('runs/first/student.tflite')
    """

    run_dir: Path
    metrics: dict[str, Any]
    report: Path
    student: Path
    tflite: Path | None
    bundle: Path | None


def distill(
    images: Any,
    *,
    teacher: str,
    student: str,
    run_dir: artifacts.PathLike,
    method: str = "ft+kd",
    epochs: int | None = None,
    batch_size: int | None = None,
    learning_rate: float | None = None,
    bundle: bool = True,
    echo: Echo = print,
    **settings: Any,
) -> DistillResult:
    """Distill a teacher into a student for the phone, from images to files.

    Called again with the same folder it continues where it stopped.

    Args:
        images: A folder of images, the name of a TensorFlow Datasets set, see
            `data.load`; or arrays `(images, labels)`: uint8 (N, H, W, C) and
            integers (N,), which are written into the run's folder.
        teacher: A `.keras` file, a run folder, or a name of
            `keras.applications`, which is fitted to the labels first.
        student: A name of `keras.applications` or of the zoo, or a `.keras`
            file.
        run_dir: Folder for everything that is made.
        method: How the student is trained, see `compare`.
        epochs: Of the student, its learning rate falling to 0; `None` for the
            recipe's.
        batch_size: Images per step; `None` for the recipe's.
        learning_rate: At the first step of the student; `None` for the
            recipe's.
        bundle: Whether to write the folder for an Android developer as well:
            an int8 file, or dynamic where int8 loses too much.
        echo: Takes lines of progress.
        **settings: More of `experiments.Settings`, such as `image_size`,
            `pixels`, `weights` or `recipe`, which the numbers above change.

    Returns:
        Where everything is.

    Raises:
        InputError: Something does not fit; nothing was trained. Or the
            bundle's file is not good enough.

    Example:

    >>> result = keras_ft.distill(
    ...     "fashion_mini", teacher="teacher.keras", student="student.keras",
    ...     run_dir="runs/first", method="kd", epochs=1, bundle=False,
    ...     train_examples=256, echo=lambda line: None)
    >>> 0.0 <= result.metrics["kd_accuracy"] <= 1.0
    True
    """
    folder = Path(run_dir)
    reading.check_folder(folder)
    begun = (folder / "run.json").is_file()
    for argument, source in (("teacher", teacher), ("student", student)):
        network_names.check(argument, source, missing_ok=begun)
    recipe = settings.pop("recipe", None) or Recipe.preset("official")
    changes: dict[str, Any] = {
        "epochs": epochs,
        "batch_size": batch_size,
        "learning_rate": learning_rate,
        "schedule": None if epochs is None else "linear",
    }
    changes = {name: v for name, v in changes.items() if v is not None}
    if not isinstance(images, str | Path):
        images = _written(images, folder / IMAGES)
    asked = experiments.Settings(
        recipe=recipe.scheduled(**changes),
        methods=(method,),
        dataset=str(images),
        teacher=teacher,
        student=student,
        **settings,
    )
    metrics = experiments.distill(folder, asked, echo=echo)
    data_dir = asked.data_dir
    phone = None
    if bundle:
        try:
            made = experiments.bundle_run(
                folder, data_dir=data_dir, fallback="dynamic"
            )
        except ExportError as error:
            raise InputError(
                f"The folder for the phone was not written: {error} All else "
                f"is in {folder}."
            ) from error
        phone = made.folder
    page = report.write(folder, data_dir)
    tflite = folder / file_name("none")
    return DistillResult(
        run_dir=folder,
        metrics=metrics,
        report=page,
        student=folder / "student.keras",
        tflite=tflite if "tflite_bytes" in metrics else None,
        bundle=phone,
    )


def _written(arrays: Any, folder: Path) -> Path:
    """Write images as a folder that `data.load` reads, whole or not at all.

    Raises:
        InputError: They are no uint8 images with a label each, or other ones
            than those that are there.
    """
    try:
        images, labels = (np.asarray(part) for part in arrays)
    except (TypeError, ValueError):
        raise InputError(
            "images",
            f"a {type(arrays).__name__}",
            "a folder, the name of a data set, or arrays (images, labels)",
            "Pass (x_train, y_train).",
        ) from None
    if (
        images.ndim != 4
        or images.shape[-1] not in (1, 3)
        or images.dtype != np.uint8
        or labels.shape != images.shape[:1]
        or not np.issubdtype(labels.dtype, np.integer)
        or labels.size == 0
        or labels.min() < 0
    ):
        raise InputError(
            "images",
            f"arrays {images.shape} {images.dtype} and {labels.shape} "
            f"{labels.dtype}",
            "uint8 images (N, H, W, 1 or 3), pixels 0..255, and integer labels "
            "(N,) from 0",
            "Pass the images as they are, before any scaling.",
        )
    found = hashlib.sha256(images.tobytes())
    found.update(labels.astype(np.int64).tobytes())
    digest, mark = found.hexdigest(), folder / ".arrays"
    if mark.is_file() and reading.read_text(mark, folder) == digest:
        return folder
    if folder.exists():
        raise InputError(
            f"{folder} holds other images than these. Name another run_dir."
        )
    aside = folder.with_name(f"{artifacts.UNFINISHED}{folder.name}")
    shutil.rmtree(aside, ignore_errors=True)
    width = len(str(int(labels.max())))
    for index, (image, label) in enumerate(zip(images, labels, strict=True)):
        place = aside / f"{int(label):0{width}d}"
        place.mkdir(parents=True, exist_ok=True)
        picture = PIL.Image.fromarray(
            image[..., 0] if image.shape[-1] == 1 else image
        )
        picture.save(place / f"{index:07d}.png")
    artifacts.write_text(aside / mark.name, digest)
    aside.rename(folder)
    return folder
