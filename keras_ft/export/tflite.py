"""The phone's file: converted, run, compared, and only then handed over."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft.artefacts import PathLike
from keras_ft.artefacts import atomic_path
from keras_ft.artefacts import sha256
from keras_ft.errors import InputError
from keras_ft.export.contents import check_contents
from keras_ft.export.conversion import convert
from keras_ft.export.described import with_metadata
from keras_ft.export.export_result import ExportResult
from keras_ft.export.interpreter import run_in_litert
from keras_ft.export.metadata import COLORS
from keras_ft.export.metadata import Metadata
from keras_ft.export.parity import check_parity
from keras_ft.export.precision import in_float32
from keras_ft.export.preconditions import check_names
from keras_ft.export.preconditions import check_request
from keras_ft.export.preconditions import checked_labels
from keras_ft.export.preconditions import scaling_of
from keras_ft.export.preconditions import shapes_of
from keras_ft.export.representative_data import pixel_images

_BATCH = 64


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
    min_agreement: float | None = None,
) -> ExportResult:
    """Write a student as a `.tflite` file that was proven to work.

    The file takes one image as it comes, float32 pixel values 0..255 of shape
    (1, H, W, C), and returns float32 probabilities: preprocessing and softmax
    are inside. Before it appears under its name it is run in LiteRT on real
    images and compared with Keras, because a converter that goes wrong says
    nothing. The student is not changed. The same student gives the same bytes.

    Args:
        student: A Functional or Sequential model that returns logits, with a
            fixed input shape. Mixed precision is exported in float32.
        path: The file to write; ends with `.tflite`.
        quantization: `"none"` (float32), `"float16"` (half the size),
            `"dynamic"` (8-bit weights, a quarter) or `"int8"` (8-bit weights
            and activations; needs `calibration`).
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
        min_agreement: Share, 0..1, of the samples with Keras' top-1 class.
            By default 1 without quantisation, 0.99 for float16, 0.97 for
            dynamic and 0.95 for int8.

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
    (0.996, 0.958)
    """
    path = Path(path)
    check_request(path, quantization, calibration, samples, min_agreement)
    input_shape, classes = shapes_of(student)
    check_names(class_names, classes)
    metadata = _metadata(student, class_names, input_shape)
    scaling = scaling_of(normalization, input_shape)
    images = None
    if calibration is not None:
        images = pixel_images(
            "calibration", calibration, input_shape, normalization
        )
    pixels = images
    if samples is not None:
        pixels = pixel_images("samples", samples, input_shape, normalization)
    assert pixels is not None  # checked above: one of the two is given
    truth = checked_labels(labels, len(pixels), classes)
    network = in_float32(student)
    expected = _probabilities(network, pixels, scaling)

    content = convert(network, input_shape, scaling, quantization, images)
    if metadata is not None:
        content = with_metadata(content, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        check_contents(temporary, quantization)
        received = run_in_litert(temporary, pixels)
        agreement, max_error = check_parity(
            expected, received, quantization, min_agreement, class_names
        )
    accuracy = None
    if truth is not None:
        accuracy = float(np.mean(np.argmax(received, axis=-1) == truth))
    return ExportResult(
        path=path,
        bytes=len(content),
        sha256=sha256(path),
        quantization=quantization,
        agreement=agreement,
        max_error=max_error,
        accuracy=accuracy,
        samples=len(pixels),
    )


def _metadata(
    student: keras.Model,
    class_names: Sequence[str] | None,
    input_shape: tuple[int, ...],
) -> Metadata | None:
    if class_names is None or input_shape[-1] not in COLORS:
        return None
    return Metadata(
        name=student.name,
        description=f"Tells {len(class_names)} kinds of images apart.",
        class_names=class_names,
        input_shape=input_shape,
    )


def _probabilities(
    network: keras.Model,
    pixels: np.ndarray,
    scaling: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """What Keras says, shape (N, classes)."""
    if scaling is not None:
        pixels = pixels * scaling[0] + scaling[1]
    batches = np.split(pixels, range(_BATCH, len(pixels), _BATCH))
    logits = np.concatenate(
        [
            keras.ops.convert_to_numpy(network(batch, training=False))
            for batch in batches
        ]
    )
    if not np.isfinite(logits).all():
        raise InputError(
            "student",
            "NaN or infinity among its logits",
            "finite logits on real images",
            "Train it again; its training has diverged.",
        )
    if logits.min() >= 0.0 and np.allclose(logits.sum(axis=-1), 1.0, atol=1e-3):
        raise InputError(
            "student",
            "probabilities",
            "logits; the softmax is added here",
            "Leave out the last softmax.",
        )
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
