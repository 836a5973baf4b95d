"""What is known about a file that passed the gate."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """A handed-over `.tflite` file and what was measured on it.

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
