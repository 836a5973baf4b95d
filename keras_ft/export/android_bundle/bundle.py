"""Write a folder that an Android developer can start from, in one call."""

import dataclasses
import re
import tempfile
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.export.android_bundle.atomic_folder import atomic_folder
from keras_ft.export.android_bundle.atomic_folder import check_replaceable
from keras_ft.export.android_bundle.golden_images import choose_golden
from keras_ft.export.android_bundle.golden_images import tolerance
from keras_ft.export.android_bundle.golden_images import write_golden
from keras_ft.export.android_bundle.model_card import ModelCard
from keras_ft.export.android_bundle.model_card import card_content
from keras_ft.export.android_bundle.texts import render
from keras_ft.export.latency import Latency
from keras_ft.export.latency import machine
from keras_ft.export.latency import measure_latency
from keras_ft.export.litert import run_in_litert
from keras_ft.export.metadata import CHANNELS
from keras_ft.export.representative_data import MAXIMUM
from keras_ft.export.representative_data import pixel_images
from keras_ft.export.representative_data import pixel_scaling
from keras_ft.export.student import classifier_shapes
from keras_ft.export.student import file_outputs
from keras_ft.export.tflite import ExportResult
from keras_ft.export.tflite import to_tflite

FILE = "student.tflite"
CARD = "model_card.json"
_TEXTS = (
    "labels.txt",
    "Classifier.kt",
    "GoldenTest.kt",
    "build.gradle.kts",
    "model_card.md",
    "latency.md",
    "README.md",
)
# Hard keywords: no part of a package's name without backticks.
_KOTLIN = frozenset(
    "as break class continue do else false for fun if in interface is null "
    "object package return super this throw true try typealias typeof val var "
    "when while".split()
)


@dataclasses.dataclass(frozen=True)
class BundleResult:
    """Describe a folder for an Android developer and what was measured.

    Args:
        folder: Where it is.
        files: What is in it, names relative to `folder`, sorted.
        exported: Of `student.tflite`.
        card: The content of `model_card.json`.
        latencies: On this machine, for each number of threads.
        machine: Names this machine.

    Example:

    >>> images, labels = data.examples("test", 500)
    >>> result = keras_ft.export.bundle(
    ...     student, "handover", "dynamic", samples=images,
    ...     normalization=data.normalization, class_names=data.class_names)
    >>> result.exported.path.name, result.latencies[0].threads
    ('student.tflite', 1)
    >>> (result.folder / "README.md").is_file()
    True
    """

    folder: Path
    files: tuple[str, ...]
    exported: ExportResult
    card: dict[str, Any]
    latencies: tuple[Latency, ...]
    machine: str


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
    input_shape, _ = classifier_shapes(student)
    (output,) = file_outputs(student)
    if output.activation != "softmax":
        raise InputError(
            "student",
            "one whose outputs are a yes or no each, or no probabilities",
            "a classifier of two or more classes of which one is right",
            "Write its file with to_tflite: the bundle's Classifier.kt and "
            "its golden images speak of one class per image.",
        )
    check_replaceable(folder, CARD)
    _check_package(package)
    if "int8_io" in (quantization, fallback):
        raise InputError(
            "quantization",
            "'int8_io'",
            "a file that takes float32",
            'Use quantization="int8": LiteRT\'s Kotlin API has no uint8.',
        )
    if class_names is None:
        raise InputError(
            "class_names",
            None,
            "one name per class",
            "Pass data.class_names of the data the student was trained on.",
        )
    if input_shape[-1] not in CHANNELS:
        raise InputError(
            f"The student takes images of {input_shape[-1]} channels, but an "
            "Android Bitmap has 1 (grey) or 3 (RGB). Export it with "
            "to_tflite, which takes any number of channels."
        )
    if golden < 1:
        raise InputError("golden", golden, "1 or more", "Use golden=10.")
    card = card or ModelCard()
    card = dataclasses.replace(card, name=card.name or student.name)
    scaling = pixel_scaling(normalization, input_shape[-1])
    # Read once, because they may be iterators that end.
    if calibration is not None:
        calibration = pixel_images(
            "calibration", calibration, input_shape, scaling
        )
    if samples is not None:
        samples = pixel_images("samples", samples, input_shape, scaling)
    export = partial(
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
    with atomic_folder(folder) as temporary:
        path = temporary / FILE
        result = export(
            path,
            quantization,
            fallback=fallback,
            min_agreement=min_agreement,
            max_accuracy_drop=max_accuracy_drop,
        )
        with tempfile.TemporaryDirectory() as elsewhere:
            float32 = export(Path(elsewhere) / FILE, "none")
        # Pictures have whole numbers, and may be fewer than the samples.
        pixels = calibration if samples is None else samples
        images = np.rint(pixels[:MAXIMUM]).astype(np.uint8)
        answers = run_in_litert(path, images)
        kept = choose_golden(answers, result.quantization, golden)
        write_golden(
            temporary,
            images[kept],
            answers[kept],
            result.quantization,
            class_names,
        )
        content = card_content(
            card,
            class_names,
            input_shape,
            result,
            float32,
            len(kept),
            tolerance(result.quantization),
        )
        latencies = measure_latency(path)
        _write_texts(temporary, package, content, latencies)
    return BundleResult(
        folder=folder,
        files=tuple(sorted([*artifacts.manifest(folder), artifacts.MANIFEST])),
        exported=dataclasses.replace(result, path=folder / FILE),
        card=content,
        latencies=latencies,
        machine=machine(),
    )


def _check_package(package: str) -> None:
    words = package.split(".")
    if not all(re.fullmatch(r"[A-Za-z_]\w*", word, re.A) for word in words) or (
        _KOTLIN & {*words}
    ):
        raise InputError(
            "package",
            repr(package),
            "a Kotlin package, words joined by dots",
            'Use for example package="com.example.classifier".',
        )


def _write_texts(
    folder: Path,
    package: str,
    content: dict[str, Any],
    latencies: Sequence[Latency],
) -> None:
    times = {
        "machine": machine(),
        "latencies": [dataclasses.asdict(latency) for latency in latencies],
    }
    artifacts.write_json(folder / CARD, content)
    artifacts.write_json(folder / "latency.json", times)
    height, width, channels = content["input"]["shape"][1:]
    values = {
        **content,
        **times,
        "package": package,
        "height": height,
        "width": width,
        "channels": channels,
    }
    for name in _TEXTS:
        artifacts.write_text(folder / name, render(name, values))
