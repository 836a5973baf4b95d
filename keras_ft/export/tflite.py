"""The phone's file: converted, run, compared, and only then handed over."""

import dataclasses
import gzip
from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import heads
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
from keras_ft.export.parity import answers
from keras_ft.export.parity import check_parity
from keras_ft.export.parity import check_values
from keras_ft.export.parity import coarse_step_hint
from keras_ft.export.parity import logit_step
from keras_ft.export.parity import median_margin
from keras_ft.export.quantizations import check_quantization
from keras_ft.export.representative_data import pixel_images
from keras_ft.export.representative_data import pixel_scaling
from keras_ft.export.student import PROBABILITIES
from keras_ft.export.student import Output
from keras_ft.export.student import check_logits
from keras_ft.export.student import check_quantization_aware
from keras_ft.export.student import file_outputs
from keras_ft.export.student import image_shape
from keras_ft.export.student import in_float32
from keras_ft.export.student import is_tf_keras
from keras_ft.export.student import student_outputs
from keras_ft.validation.installed import require_tensorflow_backend


@dataclasses.dataclass(frozen=True)
class CheckedOutput:
    """Say what was measured on one output of a file.

    Args:
        name: In the file's signature.
        shape: Without the batch.
        activation: `"softmax"` or `"sigmoid"`, which the file computes; None
            for values that are no probabilities.
        agreement: Share, 0..1, of the samples, or of the places in them, with
            the same class in LiteRT as in Keras; for a sigmoid, of the
            probabilities on the same side of 0.5. None for other values.
        max_error: Largest difference from Keras: of probabilities, or of
            values as a share of their range.
        mean_error: Mean absolute difference of values as a share, 0..1, of
            their range; None for probabilities.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> result = keras_ft.export.to_tflite(
    ...     student, "student.tflite", samples=images,
    ...     normalization=data.normalization)
    >>> result.outputs[0].activation, result.outputs[0].agreement
    ('softmax', 1.0)
    """

    name: str
    shape: tuple[int, ...]
    activation: str | None
    agreement: float | None
    max_error: float
    mean_error: float | None


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
            LiteRT as in Keras; see `CheckedOutput` for other outputs, of
            which it is the smallest. `None` where none is of classes.
        max_error: Largest difference of any probability from Keras', 0..1,
            or of other values as a share of their range.
        accuracy: Top-1 accuracy of the file on the samples, or on their
            places or labels, 0..1; `None` where no labels were given.
        keras_accuracy: The student's, likewise.
        logit_step: Distance of neighboring logits in an integer file; `None`
            where they are float, or no softmax makes probabilities of them.
        median_margin: What separates the logits of the two best classes, in
            the median of the samples. Rounding decides where the step is more.
            `None` without a softmax over an image's classes.
        samples: Number of images all this was measured on.
        outputs: What was measured on each output, in the student's order.

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
    agreement: float | None
    max_error: float
    accuracy: float | None
    keras_accuracy: float | None
    logit_step: float | None
    median_margin: float | None
    samples: int
    outputs: tuple[CheckedOutput, ...] = ()


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
    activation: Any = None,
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
    inside. A student that ends in a softmax or sigmoid itself is not softened
    twice. One logit, or several labels, get a sigmoid; other outputs, of a
    class or value per pixel or several of any kind, come under the student's
    names for them. Before it appears under its name it is run in LiteRT on real
    images and compared with Keras, because a converter that goes wrong says
    nothing. The student is not changed. The same student gives the same bytes.

    Args:
        student: A Functional or Sequential model with one image as input, of
            fixed shape. Mixed precision is exported in float32. Or
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
        class_names: One name per class or label; for a single output the
            name of its yes, or those of no and yes. A classifier's file then
            carries them, and says in TFLite metadata what it takes and
            returns, for MediaPipe and others; not for images of other than 1
            or 3 channels, or classes of each pixel.
        samples: At least 32 images to compare on, given like `calibration`,
            which stands in for them where they are missing.
        labels: Class of each sample, integers of shape (N,), for `accuracy`;
            (N, H, W) where each pixel has one, zeros and ones of shape
            (N, labels) where each is a yes or no. Not for several outputs.
        activation: What makes probabilities of logits: `"softmax"`,
            `"sigmoid"` or `"linear"` for nothing; for several outputs a
            dictionary by name. None: what the student ends in or its compiled
            loss says; else a softmax for one row of logits per image, a
            sigmoid for a single logit, and nothing for all others.
        fallback: What to write instead where the file is not good enough,
            such as `"dynamic"`. The result tells which it was, and why.
        min_agreement: Share, 0..1, of the samples with Keras' top-1 class, or
            of their places or labels. Outputs that are no probabilities are
            held to their mean error, see `Quantization`.
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
    require_tensorflow_backend(
        "keras_ft.export.to_tflite",
        "Save the student as .keras and export it where TensorFlow is.",
    )
    _check_request(path, quantization, fallback, calibration, samples, limits)
    for kind in filter(None, (quantization, fallback)):
        check_quantization_aware(student, kind)
    input_shape = image_shape(student)
    outputs = file_outputs(student, activation)
    first = outputs[0]
    names = None
    if class_names is not None:
        names = _names_of_outputs(class_names, outputs)
        metadata.check_class_names(names, first.classes)
    about = None
    described = len(outputs) == 1 and first.is_classifier
    if names and described and input_shape[-1] in metadata.CHANNELS:
        about = metadata.image_classifier_metadata(
            student.name,
            description or f"Tells {first.classes} kinds of images apart.",
            input_shape,
            version,
            author,
            license,
            str(first.activation),
        )
    scaling = pixel_scaling(normalization, input_shape[-1])
    images = None
    if calibration is not None:
        images = pixel_images("calibration", calibration, input_shape, scaling)
    pixels = images
    if samples is not None:
        pixels = pixel_images("samples", samples, input_shape, scaling)
    assert pixels is not None  # checked above: one of the two is given
    network = student
    if not is_tf_keras(student):
        network = in_float32(heads.logits_model(student))
    logits = student_outputs(network, pixels, scaling)
    if first.activation == "softmax" and len(first.shape) == 1:
        check_logits(logits[0])
    truth = _check_labels(labels, len(pixels), outputs)

    def write(kind: str) -> ExportResult:
        content = convert(network, input_shape, scaling, kind, images, outputs)
        if about is not None:
            assert names is not None
            content = metadata.add_metadata(content, about, names)
        return write_if_faithful(
            content,
            path,
            kind,
            pixels,
            logits,
            truth,
            names,
            **limits,
            outputs=outputs,
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
    logits: np.ndarray | Sequence[np.ndarray],
    labels: np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    min_agreement: float | None = None,
    max_accuracy_drop: float | None = None,
    outputs: Sequence[Output] | None = None,
) -> ExportResult:
    """Run a file in LiteRT, and write it where it agrees with Keras.

    Args:
        content: Of the `.tflite` file.
        path: Where to write it.
        quantization: What was asked of the converter.
        pixels: Pixel values (N, H, W, C) to compare on.
        logits: The student's on them, shape (N, classes), or one array for
            each output.
        labels: Their classes, or `None`.
        class_names: For messages.
        min_agreement: See `to_tflite`.
        max_accuracy_drop: See `to_tflite`.
        outputs: What the file gives; None for the probabilities of a softmax.

    Raises:
        ExportError: It is not good enough; nothing was written.
    """
    check_converted(content, quantization)
    expected = [logits] if isinstance(logits, np.ndarray) else list(logits)
    if outputs is None:
        shape = expected[0].shape[1:]
        outputs = [Output(PROBABILITIES, shape, "softmax")]
    step = margin = None
    is_softmax = outputs[0].is_classifier and outputs[0].activation == "softmax"
    if len(outputs) == 1 and is_softmax:
        step, margin = logit_step(content), median_margin(expected[0])
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)
        found = run_in_litert(temporary, pixels)
        received = [
            found[output.name] if len(outputs) > 1 else found
            for output in outputs
        ]
        checked = []
        for output, ours, theirs in zip(
            outputs, expected, received, strict=True
        ):
            if output.activation is None:
                mean, most = check_values(ours, theirs, quantization)
                agreement = None
            else:
                mean = None
                agreement, most = check_parity(
                    output.activated(ours),
                    theirs,
                    quantization,
                    min_agreement=min_agreement,
                    max_accuracy_drop=max_accuracy_drop,
                    labels=labels,
                    class_names=class_names,
                    hint=coarse_step_hint(step, margin),
                    activation=output.activation,
                )
            checked.append(
                CheckedOutput(
                    output.name,
                    output.shape,
                    output.activation,
                    agreement,
                    most,
                    mean,
                )
            )
    agreements = [one.agreement for one in checked if one.agreement is not None]
    return ExportResult(
        path=path,
        bytes=len(content),
        gzip_bytes=len(gzip.compress(content, mtime=0)),
        sha256=sha256(path),
        quantization=quantization,
        requested=quantization,
        refusal=None,
        agreement=min(agreements, default=None),
        max_error=max(one.max_error for one in checked),
        accuracy=_accuracy(received[0], labels, outputs[0]),
        keras_accuracy=_accuracy(
            outputs[0].activated(expected[0]), labels, outputs[0]
        ),
        logit_step=step,
        median_margin=margin,
        samples=len(pixels),
        outputs=tuple(checked),
    )


def _accuracy(
    probabilities: np.ndarray, labels: np.ndarray | None, output: Output
) -> float | None:
    if labels is None:
        return None
    if output.activation == "sigmoid":
        probabilities = probabilities[..., np.newaxis]
    found = answers(probabilities).reshape(labels.shape)
    return float(np.mean(found == labels))


def _names_of_outputs(
    class_names: Sequence[str], outputs: Sequence[Output]
) -> Sequence[str]:
    """Return a name for each class or label of the one output."""
    if len(outputs) > 1 or outputs[0].activation is None:
        raise InputError(
            "class_names",
            f"{len(class_names)} names",
            "None for outputs that are no classes",
            "Leave it out; the outputs have names of their own in the file.",
        )
    # Of no and yes, as a folder of two classes has them, the output is yes.
    two_for_one = outputs[0].classes == 1 and len(class_names) == 2
    return class_names[1:] if two_for_one else class_names


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


def _check_labels(
    labels: Any, count: int, outputs: Sequence[Output]
) -> np.ndarray | None:
    """Return the labels as an array, or refuse them."""
    if labels is None:
        return None
    truth = np.asarray(labels)
    output, *others = outputs
    if others or output.activation is None:
        raise InputError(
            "labels",
            f"{truth.dtype} of shape {truth.shape}",
            "None for several outputs, or values that are no probabilities",
            "Leave them out.",
        )
    binary = output.activation == "sigmoid"
    shape = (count, *(output.shape if binary else output.shape[:-1]))
    classes = 2 if binary else output.classes
    if binary and truth.shape == shape[:-1] and output.classes == 1:
        truth = truth[..., np.newaxis]
    whole = truth.dtype.kind in "ui" or binary
    fits = (
        truth.shape == shape
        and whole
        and truth.min() >= 0
        and truth.max() < classes
    )
    if not fits:
        one_hot = truth.shape == (count, *output.shape) and not binary
        raise InputError(
            "labels",
            f"{truth.dtype} of shape {truth.shape}",
            f"{count} integers in 0..{classes - 1}, one for each sample"
            if shape == (count,)
            else f"numbers in 0..{classes - 1} of shape {shape}",
            'Where each is a yes or no, pass activation="sigmoid".'
            if one_hot
            else 'Pass both parts of data.examples("test", 200).',
        )
    return truth
