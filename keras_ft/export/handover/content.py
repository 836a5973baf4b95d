"""All that the model card says, as JSON values."""

import dataclasses
import platform
from collections.abc import Sequence
from importlib import metadata
from typing import Any

from keras_ft._version import __version__
from keras_ft.export.conversion import INPUT
from keras_ft.export.conversion import OUTPUT
from keras_ft.export.conversion import SIGNATURE
from keras_ft.export.export_result import ExportResult
from keras_ft.export.handover.golden import Golden
from keras_ft.export.handover.model_card import ModelCard

_PACKAGES = ("keras", "tensorflow", "ai-edge-litert")


def card_content(
    card: ModelCard,
    class_names: Sequence[str],
    input_shape: tuple[int, ...],
    result: ExportResult,
    plain: ExportResult,
    golden: Golden,
) -> dict[str, Any]:
    """Put what was told and what was measured together.

    Args:
        card: What was told; its name is not empty.
        class_names: One per output.
        input_shape: (H, W, C).
        result: Of the file that is handed over.
        plain: Of the same student's float32 file, on the same samples.
        golden: The images to check with.

    Returns:
        The content of `model_card.json`. The same student gives the same
        content: it has no dates and no times.

    Example:

    >>> card_content(card, names, (32, 32, 3), ...)["file"]["bytes"]
    310968
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
            "images": len(golden.images),
            "tolerance": golden.tolerance,
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
