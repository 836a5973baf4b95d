"""The model card: what was told about a student and what was measured."""

import dataclasses
import platform
from collections.abc import Mapping
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from keras_ft._version import __version__
from keras_ft.export.conversion import INPUT
from keras_ft.export.conversion import OUTPUT
from keras_ft.export.conversion import SIGNATURE
from keras_ft.export.tflite import ExportResult

_PACKAGES = ("keras", "tensorflow", "ai-edge-litert")


@dataclasses.dataclass(frozen=True, kw_only=True)
class ModelCard:
    """Say where a student comes from and what one may do with it.

    Everything may be left out; the card then says that it is not stated. What
    can be measured is measured by `bundle` and is no part of this.

    Args:
        name: Of the model; by default the student's name.
        description: One sentence on what it is for.
        author: Who made it.
        license: What one may do with it, such as `"Apache-2.0"`.
        version: Of the model.
        data: What it was trained on.
        tested_on: Where the samples come from that it is measured on, such
            as `"from the 10,000 test images of CIFAR-10"`.
        teacher: What it learned from.
        student: What kind of network it is.
        method: How it learned.
        settings: Settings of its training, by name.
        accuracies: Top-1 accuracies, 0..1, of other networks to compare it
            with, by name, such as `{"teacher": 0.93}`.
        notes: Sentences one must know before quoting a number.

    Example:

    >>> card = keras_ft.export.ModelCard(author="Ann", license="MIT")
    >>> card.license
    'MIT'
    """

    name: str = ""
    description: str = ""
    author: str = ""
    license: str = ""
    version: str = ""
    data: str = ""
    tested_on: str = ""
    teacher: str = ""
    student: str = ""
    method: str = ""
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    accuracies: Mapping[str, float] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()


def card_content(
    card: ModelCard,
    class_names: Sequence[str],
    input_shape: tuple[int, ...],
    result: ExportResult,
    plain: ExportResult,
    golden_images: int,
    golden_tolerance: float,
) -> dict[str, Any]:
    """Put what was told and what was measured together.

    Args:
        card: What was told; its name is not empty.
        class_names: One per output.
        input_shape: (H, W, C).
        result: Of the file that is handed over.
        plain: Of the same student's float32 file, on the same samples.
        golden_images: Number of images to check with.
        golden_tolerance: By how much a phone's probabilities may differ.

    Returns:
        The content of `model_card.json`. The same student gives the same
        content: it has no dates and no times.
    """
    height, width, channels = input_shape
    return {
        "name": card.name,
        "description": card.description,
        "version": card.version,
        "author": card.author,
        "license": card.license,
        "task": "image classification",
        "classes": list(class_names),
        "input": {
            "name": INPUT,
            "shape": [1, height, width, channels],
            "type": "float32",
            "colors": "RGB" if channels == 3 else "grey",
            "range": [0, 255],
        },
        "output": {
            "name": OUTPUT,
            "shape": [1, len(class_names)],
            "type": "float32",
            "range": [0, 1],
        },
        "signature": SIGNATURE,
        "training": {
            "data": card.data,
            "teacher": card.teacher,
            "student": card.student,
            "method": card.method,
            "settings": dict(card.settings),
            "accuracies": dict(card.accuracies),
            "notes": list(card.notes),
        },
        "quantization": result.quantization,
        "requested": result.requested,
        "refusal": result.refusal,
        "samples": result.samples,
        "tested_on": card.tested_on,
        "accuracy": {
            "keras": result.keras_accuracy,
            "float32": plain.accuracy,
            "file": result.accuracy,
        },
        "file": {"name": "student.tflite", **_measured(result)},
        "float32": _measured(plain),
        "golden": {
            "images": golden_images,
            "tolerance": golden_tolerance,
        },
        "versions": _versions(),
    }


def _measured(result: ExportResult) -> dict[str, Any]:
    names = ("bytes", "gzip_bytes", "sha256", "agreement", "max_error")
    fields = dataclasses.asdict(result)
    return {name: fields[name] for name in names}


def _versions() -> dict[str, str]:
    found = {"keras_ft": __version__, "python": platform.python_version()}
    return found | {name: metadata.version(name) for name in _PACKAGES}
