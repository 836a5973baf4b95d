"""What is known about a folder that was handed over."""

import dataclasses
from pathlib import Path
from typing import Any

from keras_ft.export.export_result import ExportResult
from keras_ft.export.latency import Latency


@dataclasses.dataclass(frozen=True)
class BundleResult:
    """A folder for an Android developer, and what was measured for it.

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
