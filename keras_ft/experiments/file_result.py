"""What a benchmark found out about one `.tflite` file."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from keras_ft.export import Latency


@dataclasses.dataclass(frozen=True)
class FileResult:
    """One row of a benchmark.

    Args:
        file: As the user named it.
        bytes: Its size.
        gzip_bytes: Its size when compressed, as in a download; `None` where
            the file could not be run.
        latency: For each number of threads; empty likewise.
        accuracy: Share, 0..1, of right answers on test images; `None` without
            a dataset.
        agreement: Share, 0..1, of those with Keras' answer; `None` without a
            student.
        error: Why something is missing; `None` when all went well.

    Example:

    >>> row = FileResult("a.tflite", 9, error="not a valid Flatbuffer buffer")
    >>> row.milliseconds is None
    True
    """

    file: str
    bytes: int
    gzip_bytes: int | None = None
    latency: tuple[Latency, ...] = ()
    accuracy: float | None = None
    agreement: float | None = None
    error: str | None = None

    @property
    def milliseconds(self) -> float | None:
        """The median with the first number of threads."""
        return self.latency[0].median_ms if self.latency else None

    def content(self) -> dict[str, Any]:
        """The same as JSON values."""
        return dataclasses.asdict(self)


def pareto_optimal(rows: Sequence[FileResult]) -> list[bool]:
    """Which files are not beaten by another.

    A file is beaten by one that is at least as good in accuracy, latency and
    size, and better in one of them.

    Args:
        rows: The files; those without accuracy or latency never count.

    Returns:
        A boolean for each of them.

    Example:

    >>> pareto_optimal([row])
    [True]
    """
    costs = [_costs(row) for row in rows]
    return [
        mine is not None
        and not any(
            other is not None
            and other != mine
            and all(a <= b for a, b in zip(other, mine, strict=True))
            for other in costs
        )
        for mine in costs
    ]


def _costs(row: FileResult) -> tuple[float, ...] | None:
    if row.accuracy is None or row.milliseconds is None:
        return None
    return -row.accuracy, row.milliseconds, row.bytes
