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

    >>> result = bundle(student, "handover", ...)
    >>> print(result.folder / "README.md", result.exported.accuracy)
    handover/README.md 0.958
    """

    folder: Path
    files: tuple[str, ...]
    exported: ExportResult
    card: dict[str, Any]
    latencies: tuple[Latency, ...]
    machine: str
