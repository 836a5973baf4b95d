"""The phone's file: converted, run, compared, and only then handed over."""

import dataclasses
import gzip
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
from scipy.special import softmax

from keras_ft.artifacts import PathLike
from keras_ft.artifacts import atomic_path
from keras_ft.artifacts import sha256
from keras_ft.errors import InputError
from keras_ft.export import metadata
from keras_ft.export.conversion import check_converted
from keras_ft.export.conversion import convert
from keras_ft.export.errors import ParityError
from keras_ft.export.errors import QuantizationNotAppliedError
from keras_ft.export.litert import run_in_litert
from keras_ft.export.parity import check_parity
from keras_ft.export.parity import coarse_step_hint
from keras_ft.export.parity import logit_step
from keras_ft.export.parity import median_margin
from keras_ft.export.quantizations import check_quantization
from keras_ft.export.representative_data import pixel_images
from keras_ft.export.representative_data import pixel_scaling
from keras_ft.export.student import check_quantization_aware
from keras_ft.export.student import classifier_shapes
from keras_ft.export.student import in_float32
from keras_ft.export.student import student_logits
from keras_ft.validation.installed import require_tensorflow


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """Describe a written `.tflite` file and what was measured on it.

    Args:
        path: Where the file is.
        bytes: Its size.
        gzip_bytes: Its size in a compressed download, where zeros of pruning
            and shared values of clustering show.
        sha256: Its digest, 64 hexadecimal digits.
        quantization: Of this file, see `to_tflite`.
        requested: What was asked for; another one where `fallback` was taken.
        refusal: Why what was asked for was refused; `None` where it was not.
        agreement: Share, 0..1, of the samples with the same top-1 class in
            LiteRT as in Keras.
        max_error: Largest difference of any probability from Keras', 0..1.
        accuracy: Top-1 accuracy of the file on the samples, 0..1; `None`
            where no labels were given.
        keras_accuracy: The student's, likewise.
        logit_step: Distance of neighboring logits in an integer file; `None`
            where they are float.
        median_margin: What separates the logits of the two best classes, in
            the median of the samples. Rounding decides where the step is more.
        samples: Number of images all this was measured on.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> result = keras_ft.export.to_tflite(
    ...     student, "student.tflite", samples=images,
    ...     normalization=data.normalization)
    >>> print(f"agreement {result.agreement:.3f}, {result.bytes:,} bytes")
    agreement 1.000, ... bytes
    """

    path: Path
    bytes: int
    gzip_bytes: int
    sha256: str
    quantization: str
    requested: str
    refusal: str | None
    agreement: float
    max_error: float
    accuracy: float | None
    keras_accuracy: float | None
    logit_step: float | None
    median_margin: float
    samples: int


def to_tflite(
    student: keras.Model,
    path: PathLike,
    quantization: str = "none",
    calibration: Any = None,
    normalization: Any = None,
    class_names: Sequence[str] | None = None,
    samples: Any = None,
    labels: Any = None,
    *,
    fallback: str | None = None,
    min_agreement: float | None = None,
    max_accuracy_drop: float | None = None,
    author: str = "",
    license: str = "",
    version: str = "",
    description: str = "",
) -> ExportResult:
    """Write a student as a `.tflite` file that was proven to work.

    The file takes one image as it comes, pixel values 0..255 of shape
    (1, H, W, C), and returns probabilities: preprocessing and softmax are
    inside. Before it appears under its name it is run in LiteRT on real
    images and compared with Keras, because a converter that goes wrong says
    nothing. The student is not changed. The same student gives the same bytes.

    Args:
        student: A Functional or Sequential model that returns logits, with a
            fixed input shape. Mixed precision is exported in float32. Or
            what `keras_ft.compression.compress` made of it.
        path: The file to write; ends with `.tflite`.
        quantization: `"none"` (float32), `"float16"` (half the size),
            `"dynamic"` (8-bit weights, a quarter), `"int8"` (8-bit weights
            and activations; needs `calibration`) or `"int8_io"` (the same,
            and takes and returns uint8). With litert-quantizer installed also
            `"dynamic_wi8"` and `"dynamic_wi4"` (4-bit weights, an eighth).
        calibration: At least 32 images that are like those the app will see.
            An array (N, H, W, C) or an iterable holds pixels 0..255; a
            `tf.data.Dataset` of floats holds what the student was trained on.
        normalization: How pixels become the student's input, such as
            `data.normalization`. `None`: the student takes pixels 0..255.
        class_names: One name per class. The file then carries them, and says
            in TFLite metadata what it takes and returns, for MediaPipe and
            others; not for images of other than 1 or 3 channels.
        samples: At least 32 images to compare on, given like `calibration`,
            which stands in for them where they are missing.
        labels: Class of each sample, integers of shape (N,), for `accuracy`.
        fallback: What to write instead where the file is not good enough,
            such as `"dynamic"`. The result tells which it was, and why.
        min_agreement: Share, 0..1, of the samples with Keras' top-1 class.
            By default 1 without quantization, 0.99 for float16, 0.97 for
            8-bit weights, 0.95 for int8 and 0.9 for 4-bit weights.
        max_accuracy_drop: By how much accuracy, 0..1, may fall below Keras',
            where there are labels. By default 0.005, for 4-bit weights 0.03;
            two samples may always be lost.
        author: For the metadata.
        license: For the metadata, such as `"Apache-2.0"`.
        version: For the metadata.
        description: For the metadata; one sentence.

    Returns:
        The file's size and digest, and what was measured on it.

    Raises:
        InputError: An argument is of no use; nothing was done.
        ExportError: The file was not good enough; nothing was written. Its
            subclasses tell why: `RepresentativeDataError`, `PrecisionError`,
            `UnsupportedOpsError`, `QuantizationNotAppliedError`,
            `ParityError`.

    Example:

    >>> images, labels = data.examples("test", 500)
    >>> result = keras_ft.export.to_tflite(
    ...     student, "student.tflite", "int8", calibration=data.train,
    ...     normalization=data.normalization, samples=images, labels=labels)
    >>> result.agreement, result.accuracy
    (0.9..., 0...)
    """
    path = Path(path)
    limits = {
        "min_agreement": min_agreement,
        "max_accuracy_drop": max_accuracy_drop,
    }
    _check_environment()
    _check_request(path, quantization, fallback, calibration, samples, limits)
    for kind in filter(None, (quantization, fallback)):
        check_quantization_aware(student, kind)
    input_shape, classes = classifier_shapes(student)
    about = None
    if class_names is not None:
        metadata.check_class_names(class_names, classes)
        if input_shape[-1] in metadata.CHANNELS:
            about = metadata.image_classifier_metadata(
                student.name,
                description or f"Tells {classes} kinds of images apart.",
                input_shape,
                version,
                author,
                license,
            )
    scaling = pixel_scaling(normalization, input_shape[-1])
    images = None
    if calibration is not None:
        images = pixel_images("calibration", calibration, input_shape, scaling)
    pixels = images
    if samples is not None:
        pixels = pixel_images("samples", samples, input_shape, scaling)
    assert pixels is not None  # checked above: one of the two is given
    network = in_float32(student)
    logits = student_logits(network, pixels, scaling)
    truth = _check_labels(labels, *logits.shape)

    def write(kind: str) -> ExportResult:
        content = convert(network, input_shape, scaling, kind, images)
        if about is not None:
            assert class_names is not None
            content = metadata.add_metadata(content, about, class_names)
        return write_if_faithful(
            content, path, kind, pixels, logits, truth, class_names, **limits
        )

    try:
        return write(quantization)
    except (ParityError, QuantizationNotAppliedError) as error:
        if fallback is None:
            raise
        result = write(fallback)
        return dataclasses.replace(
            result, requested=quantization, refusal=str(error)
        )


def write_if_faithful(
    content: bytes,
    path: Path,
    quantization: str,
    pixels: np.ndarray,
    logits: np.ndarray,
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    min_agreement: float | None = None,
    max_accuracy_drop: float | None = None,
) -> ExportResult:
    """Run a file in LiteRT, and write it where it agrees with Keras.

    Args:
        content: Of the `.tflite` file.
        path: Where to write it.
        quantization: What was asked of the converter.
        pixels: Pixel values (N, H, W, C) to compare on.
        logits: The student's on them, shape (N, classes).
        labels: Their classes, or `None`.
        class_names: For messages.
        min_agreement: See `to_tflite`.
        max_accuracy_drop: See `to_tflite`.

    Raises:
        ExportError: It is not good enough; nothing was written.
    """
    check_converted(content, quantization)
    step, margin = logit_step(content), median_margin(logits)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        received = run_in_litert(temporary, pixels)
        agreement, max_error = check_parity(
            softmax(logits, axis=-1),
            received,
            quantization,
            min_agreement=min_agreement,
            max_accuracy_drop=max_accuracy_drop,
            labels=labels,
            class_names=class_names,
            hint=coarse_step_hint(step, margin),
        )
    return ExportResult(
        path=path,
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content, mtime=0)),
        sha256=sha256(path),
        quantization=quantization,
        requested=quantization,
        refusal=None,
        agreement=agreement,
        max_error=max_error,
        accuracy=_accuracy(received, labels),
        keras_accuracy=_accuracy(logits, labels),
        logit_step=step,
        median_margin=margin,
        samples=len(pixels),
    )


def _accuracy(scores: np.ndarray, labels: np.ndarray | None) -> float | None:
    if labels is None:
        return None
    return float(np.mean(np.argmax(scores, axis=-1) == labels))


def _check_environment() -> None:
    require_tensorflow(
        "keras_ft.export.to_tflite",
        "Save the student as .keras and export it where TensorFlow is.",
    )
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "KERAS_BACKEND",
            keras.backend.backend(),
            "tensorflow, which has the converter",
            "Save the student as .keras and export it with "
            "KERAS_BACKEND=tensorflow.",
        )


def _check_request(
    path: Path,
    quantization: str,
    fallback: str | None,
    calibration: Any,
    samples: Any,
    limits: Mapping[str, float | None],
) -> None:
    """Refuse arguments that cannot work, whatever the student is."""
    if path.suffix != ".tflite":
        raise InputError(
            "path", path, "a name that ends with .tflite", "Rename the file."
        )
    kinds = [check_quantization(quantization)]
    if fallback is not None:
        kinds.append(check_quantization(fallback, "fallback"))
    if any(kind.calibrated for kind in kinds) and calibration is None:
        raise InputError(
            "calibration",
            None,
            "images to measure the range of every activation on",
            'Pass calibration=data.train, or use quantization="dynamic".',
        )
    if calibration is None and samples is None:
        raise InputError(
            "samples",
            None,
            "real images to compare the file with Keras on",
            'Pass samples=data.examples("test", 200)[0].',
        )
    for argument, limit in limits.items():
        if limit is not None and not 0.0 <= limit <= 1.0:
            raise InputError(
                argument, limit, "a share in 0..1", "Leave it out, or use 0.95."
            )


def _check_labels(labels: Any, count: int, classes: int) -> np.ndarray | None:
    """Return the labels as an array, or refuse them."""
    if labels is None:
        return None
    truth = np.asarray(labels)
    fits = (
        truth.shape == (count,)
        and truth.dtype.kind in "ui"
        and truth.min() >= 0
        and truth.max() < classes
    )
    if not fits:
        raise InputError(
            "labels",
            f"{truth.dtype} of shape {truth.shape}",
            f"{count} integers in 0..{classes - 1}, one for each sample",
            'Pass both parts of data.examples("test", 200).',
        )
    return truth
