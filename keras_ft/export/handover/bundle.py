"""One call: a folder that an Android developer can start from."""

import dataclasses
import functools
import tempfile
from collections.abc import Callable
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import artifacts
from keras_ft.export.export_result import ExportResult
from keras_ft.export.handover.bundle_result import BundleResult
from keras_ft.export.handover.content import card_content
from keras_ft.export.handover.golden import Golden
from keras_ft.export.handover.golden import chosen
from keras_ft.export.handover.model_card import ModelCard
from keras_ft.export.handover.preconditions import CARD
from keras_ft.export.handover.preconditions import check_handover
from keras_ft.export.handover.templates import render
from keras_ft.export.handover.whole_folder import whole_folder
from keras_ft.export.interpreter import run_in_litert
from keras_ft.export.latency import Latency
from keras_ft.export.latency import machine
from keras_ft.export.latency import measure_latency
from keras_ft.export.preconditions import shapes_of
from keras_ft.export.representative_data import MAXIMUM
from keras_ft.export.representative_data import pixel_images
from keras_ft.export.tflite import to_tflite

FILE = "student.tflite"
_TEXTS = (
    "labels.txt",
    "Classifier.kt",
    "GoldenTest.kt",
    "build.gradle.kts",
    "model_card.md",
    "latency.md",
    "README.md",
)


def bundle(
    student: keras.Model,
    folder: artifacts.PathLike,
    quantization: str = "int8",
    calibration: Any = None,
    normalization: Any = None,
    class_names: Sequence[str] | None = None,
    samples: Any = None,
    labels: Any = None,
    *,
    card: ModelCard | None = None,
    package: str = "com.example.classifier",
    golden: int = 10,
    fallback: str | None = None,
    min_agreement: float | None = None,
    max_accuracy_drop: float | None = None,
) -> BundleResult:
    """Write a folder with all that an Android app needs, each part proven.

    In it are `student.tflite`, `labels.txt`, `Classifier.kt`, the lines for
    Gradle, known images with known answers and `GoldenTest.kt` that checks a
    phone with them, a model card as text and as JSON, a table of latencies and
    a `README.md` to start from. The folder appears when all of it is there; an
    earlier one is kept until then. Apart from the latencies, the same student
    gives the same bytes.

    Args:
        student: See `to_tflite`; its images have 1 or 3 channels.
        folder: Where to; new, empty, or an earlier result of this function
            that was not changed by hand.
        quantization: See `to_tflite`; `"int8_io"` does not suit Kotlin.
        calibration: See `to_tflite`.
        normalization: See `to_tflite`.
        class_names: One name per class.
        samples: See `to_tflite`.
        labels: Class of each sample, for the accuracies on the card.
        card: Where the student comes from and what one may do with it.
        package: Kotlin package of `Classifier.kt`.
        golden: How many known images, 1 or more.
        fallback: See `to_tflite`.
        min_agreement: See `to_tflite`.
        max_accuracy_drop: See `to_tflite`.

    Returns:
        What is in the folder and what was measured.

    Raises:
        InputError: An argument is of no use; nothing was done.
        ExportError: The file, or the float32 file it is compared with, was not
            good enough, see `to_tflite`; the folder is as it was.

    Example:

    >>> images, labels = data.examples("test", 500)
    >>> result = keras_ft.export.bundle(
    ...     student, "handover", calibration=data.train,
    ...     normalization=data.normalization, class_names=data.class_names,
    ...     samples=images, labels=labels,
    ...     card=keras_ft.export.ModelCard(author="Ann", license="Apache-2.0"))
    >>> "Classifier.kt" in result.files
    True
    """
    folder = Path(folder).resolve()
    input_shape, _ = shapes_of(student)
    check_handover(
        folder,
        package,
        quantization,
        fallback,
        class_names,
        input_shape,
        golden,
    )
    assert class_names is not None  # checked above
    card = card or ModelCard()
    card = dataclasses.replace(card, name=card.name or student.name)
    calibration, samples = (
        _pixels(argument, source, input_shape, normalization)
        for argument, source in (
            ("calibration", calibration),
            ("samples", samples),
        )
    )
    export = functools.partial(
        to_tflite,
        student,
        calibration=calibration,
        normalization=normalization,
        class_names=class_names,
        samples=samples,
        labels=labels,
        author=card.author,
        license=card.license,
        version=card.version,
        description=card.description,
    )
    with whole_folder(folder) as temporary:
        path = temporary / FILE
        result = export(
            path,
            quantization,
            fallback=fallback,
            min_agreement=min_agreement,
            max_accuracy_drop=max_accuracy_drop,
        )
        plain = _float32(export)
        shown = calibration if samples is None else samples
        known = _golden(path, shown, result.quantization, golden)
        known.write(temporary, class_names)
        content = card_content(
            card, class_names, input_shape, result, plain, known
        )
        latencies, here = measure_latency(path), machine()
        _write_texts(temporary, package, content, latencies, here)
    return BundleResult(
        folder=folder,
        files=tuple(sorted([*artifacts.manifest(folder), artifacts.MANIFEST])),
        exported=dataclasses.replace(result, path=folder / FILE),
        card=content,
        latencies=latencies,
        machine=here,
    )


def _pixels(
    argument: str,
    source: Any,
    input_shape: tuple[int, ...],
    normalization: Any,
) -> np.ndarray | None:
    """Read once, because it may be an iterator that ends."""
    if source is None:
        return None
    return pixel_images(argument, source, input_shape, normalization)


def _golden(
    path: Path, pixels: np.ndarray, quantization: str, count: int
) -> Golden:
    # Pictures have whole numbers, and may be fewer than the samples.
    images = np.rint(pixels[:MAXIMUM]).astype(np.uint8)
    answers = run_in_litert(path, images)
    return chosen(images, answers, quantization, count)


def _float32(export: Callable[..., ExportResult]) -> ExportResult:
    """What the same student does without quantization."""
    with tempfile.TemporaryDirectory() as elsewhere:
        return export(Path(elsewhere) / FILE, "none")


def _write_texts(
    folder: Path,
    package: str,
    content: dict[str, Any],
    latencies: Sequence[Latency],
    here: str,
) -> None:
    artifacts.write_json(folder / CARD, content)
    times = {
        "machine": here,
        "latencies": [dataclasses.asdict(latency) for latency in latencies],
    }
    artifacts.write_json(folder / "latency.json", times)
    height, width, channels = content["input"]["shape"][1:]
    told = {
        **content,
        **times,
        "package": package,
        "height": height,
        "width": width,
        "channels": channels,
    }
    for name in _TEXTS:
        artifacts.write_text(folder / name, render(name, told))
