"""The refusal of a `.tflite` file that cannot be run."""

from pathlib import Path
from typing import Any

from keras_ft.export.export_error import ExportError


class ModelFileError(ExportError):
    """A `.tflite` file could not be run; this process is unharmed.

    Args:
        path: The file.
        kind: `"refused"` (LiteRT said no), `"crashed"` or `"timed out"`.
        reason: What happened, in words.
        fix: A full sentence telling what to do next.

    Example:

    >>> from pathlib import Path
    >>> size = Path("a.tflite").write_bytes(b"no flatbuffer at all")
    >>> keras_ft.export.measure_latency("a.tflite")
    Traceback (most recent call last):
    keras_ft.export.ModelFileError: Invalid `a.tflite`. Received: ...
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        reason: str,
        fix: str = "Export it again: it is damaged or made for another use.",
    ) -> None:
        super().__init__(
            str(path), reason, "a .tflite file that LiteRT can run", fix
        )
        self.path = path
        self.kind = kind
        self.reason = reason

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, self.kind, self.reason, self.fix)
