"""What is known about a file that passed the gate."""

import dataclasses
from pathlib import Path


@dataclasses.dataclass(frozen=True)
class ExportResult:
    """A handed-over `.tflite` file and what was measured on it.

    Args:
        path: Where the file is.
        bytes: Its size.
        sha256: Its digest, 64 hexadecimal digits.
        quantization: `"none"`, `"float16"`, `"dynamic"` or `"int8"`.
        agreement: Share, 0..1, of the samples with the same top-1 class in
            LiteRT as in Keras.
        max_error: Largest difference of any probability from Keras', 0..1.
        accuracy: Top-1 accuracy of the file on the samples, 0..1; `None`
            where no labels were given.
        samples: Number of images all this was measured on.

    Example:

    >>> result = to_tflite(student, "student.tflite", samples=images)
    >>> print(f"{result.bytes} bytes, agreement {result.agreement:.3f}")
    1102020 bytes, agreement 1.000
    """

    path: Path
    bytes: int
    sha256: str
    quantization: str
    agreement: float
    max_error: float
    accuracy: float | None
    samples: int
