"""One file: written under another name, run, and judged."""

import dataclasses
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft.artifacts import atomic_path
from keras_ft.artifacts import sha256
from keras_ft.export.contents import check_contents
from keras_ft.export.conversion import convert
from keras_ft.export.described import with_metadata
from keras_ft.export.expected import softmax
from keras_ft.export.export_result import ExportResult
from keras_ft.export.interpreter import run_in_litert
from keras_ft.export.logit_step import diagnosis
from keras_ft.export.logit_step import logit_step
from keras_ft.export.logit_step import median_margin
from keras_ft.export.metadata import Metadata
from keras_ft.export.parity import check_parity


@dataclasses.dataclass(frozen=True, kw_only=True)
class Attempt:
    """What a file is made of and compared with; all of it checked before.

    Args:
        network: The student in float32.
        input_shape: (H, W, C).
        scaling: `input = pixel * scale + shift`, or `None`.
        calibration: Pixel values (N, H, W, C) for integer activations.
        pixels: Pixel values (N, H, W, C) to compare on.
        labels: Their classes, or `None`.
        logits: The student's on them, shape (N, classes).
        class_names: For messages.
        metadata: To embed, or `None`.
        min_agreement: See `check_parity`.
        max_accuracy_drop: See `check_parity`.

    Example:

    >>> Attempt(network=student, ...).write(Path("student.tflite"), "none")
    ExportResult(path=PosixPath('student.tflite'), ...)
    """

    network: Any
    input_shape: tuple[int, ...]
    scaling: tuple[np.ndarray, np.ndarray] | None
    calibration: np.ndarray | None
    pixels: np.ndarray
    labels: np.ndarray | None
    logits: np.ndarray
    class_names: Sequence[str] | None
    metadata: Metadata | None
    min_agreement: float | None
    max_accuracy_drop: float | None

    def write(self, path: Path, quantization: str) -> ExportResult:
        """Write the file if it is good enough.

        Raises:
            ExportError: It is not; nothing was written.
        """
        content = convert(
            self.network,
            self.input_shape,
            self.scaling,
            quantization,
            self.calibration,
        )
        if self.metadata is not None:
            content = with_metadata(content, self.metadata)
        step, margin = logit_step(content), median_margin(self.logits)
        with atomic_path(path) as temporary:
            temporary.write_bytes(content)
            check_contents(temporary, quantization)
            received = run_in_litert(temporary, self.pixels)
            agreement, max_error = check_parity(
                softmax(self.logits),
                received,
                quantization,
                self.min_agreement,
                self.class_names,
                labels=self.labels,
                max_accuracy_drop=self.max_accuracy_drop,
                diagnosis=diagnosis(step, margin),
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
            accuracy=self._accuracy(received),
            keras_accuracy=self._accuracy(self.logits),
            logit_step=step,
            median_margin=margin,
            samples=len(self.pixels),
        )

    def _accuracy(self, scores: np.ndarray) -> float | None:
        if self.labels is None:
            return None
        return float(np.mean(np.argmax(scores, axis=-1) == self.labels))
