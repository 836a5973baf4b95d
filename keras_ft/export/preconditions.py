"""What must hold before an export starts."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft.errors import InputError
from keras_ft.export import litert_quantizer
from keras_ft.export.quantization import quantization_of
from keras_ft.validation import needs


def check_request(
    path: Path,
    quantization: str,
    calibration: Any,
    samples: Any,
    limits: dict[str, float | None],
    fallback: str | None,
) -> None:
    """Refuse arguments that cannot work, whatever the student is."""
    needs.tensorflow(
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
    if path.suffix != ".tflite":
        raise InputError(
            "path", path, "a name that ends with .tflite", "Rename the file."
        )
    for argument, name in (
        ("quantization", quantization),
        ("fallback", fallback),
    ):
        if name is not None:
            _check_quantization(argument, name, calibration)
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


def _check_quantization(argument: str, name: str, calibration: Any) -> None:
    kind = quantization_of(name, argument)
    if kind.calibrated and calibration is None:
        raise InputError(
            "calibration",
            None,
            "images to measure the range of every activation on",
            'Pass calibration=data.train, or use quantization="dynamic".',
        )
    if kind.recipe is not None:
        litert_quantizer.check_installed(name)


def shapes_of(student: keras.Model) -> tuple[tuple[int, ...], int]:
    """Return (H, W, C) and the number of classes, or refuse the student."""
    inputs = getattr(student, "inputs", None) or ()
    outputs = getattr(student, "outputs", None) or ()
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    fits = (
        (len(inputs), len(outputs)) == (1, 1)
        and [len(shape) for shape in shapes] == [4, 2]
        and None not in shapes[0][1:] + shapes[1][1:]
        and shapes[1][1] > 1
    )
    if not fits:
        raise InputError(
            "student",
            f"shapes {shapes or 'unknown'}",
            "a Functional or Sequential model with one input (None, H, W, C) "
            "of fixed size and one output (None, classes)",
            "Build it with keras.Input and a fixed input_shape.",
        )
    return shapes[0][1:], shapes[1][1]


def check_names(class_names: Sequence[str] | None, classes: int) -> None:
    """Refuse names that are not one per class."""
    if class_names is not None and len(class_names) != classes:
        raise InputError(
            "class_names",
            f"{len(class_names)} names",
            f"one for each of the {classes} classes",
            "Pass data.class_names of the data the student was trained on.",
        )


def scaling_of(
    normalization: Any, input_shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray] | None:
    """Return `normalization` as (scale, shift), or refuse it."""
    if normalization is None:
        return None
    channels = input_shape[-1]
    scale, shift = normalization.scale_and_shift()
    if {np.size(scale), np.size(shift)} - {1, channels}:
        raise InputError(
            "normalization",
            normalization,
            f"a mean and a deviation for each of {channels} channels",
            "Pass data.normalization of the data the student was trained on.",
        )
    return scale, shift


def checked_labels(labels: Any, count: int, classes: int) -> np.ndarray | None:
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
