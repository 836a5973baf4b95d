"""The phone's file: converted, run, compared, and only then handed over."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_ft.artifacts import PathLike
from keras_ft.export.attempt import Attempt
from keras_ft.export.contents import QuantizationNotAppliedError
from keras_ft.export.expected import keras_logits
from keras_ft.export.export_result import ExportResult
from keras_ft.export.metadata import COLORS
from keras_ft.export.metadata import Metadata
from keras_ft.export.parity import ParityError
from keras_ft.export.precision import in_float32
from keras_ft.export.preconditions import check_names
from keras_ft.export.preconditions import check_request
from keras_ft.export.preconditions import checked_labels
from keras_ft.export.preconditions import scaling_of
from keras_ft.export.preconditions import shapes_of
from keras_ft.export.representative_data import pixel_images
from keras_ft.export.tf_keras_student import check_imitation


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
    check_request(path, quantization, calibration, samples, limits, fallback)
    for name in filter(None, (quantization, fallback)):
        check_imitation(student, name)
    input_shape, classes = shapes_of(student)
    check_names(class_names, classes)
    metadata = None
    if class_names is not None and input_shape[-1] in COLORS:
        metadata = Metadata(
            name=student.name,
            description=description
            or f"Tells {classes} kinds of images apart.",
            class_names=class_names,
            input_shape=input_shape,
            author=author,
            license=license,
            version=version,
        )
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
    network = in_float32(student)
    attempt = Attempt(
        network=network,
        input_shape=input_shape,
        scaling=scaling,
        calibration=images,
        pixels=pixels,
        labels=checked_labels(labels, len(pixels), classes),
        logits=keras_logits(network, pixels, scaling),
        class_names=class_names,
        metadata=metadata,
        **limits,
    )
    try:
        return attempt.write(path, quantization)
    except (ParityError, QuantizationNotAppliedError) as error:
        if fallback is None:
            raise
        result = attempt.write(path, fallback)
        return dataclasses.replace(
            result, requested=quantization, refusal=str(error)
        )
