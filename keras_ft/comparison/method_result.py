"""All seeds of one method, taken together."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from keras_ft.comparison.difference import Difference
from keras_ft.comparison.training_result import TrainingResult


@dataclass(frozen=True)
class MethodResult:
    """Means over the seeds that a method finished.

    Attributes:
        name, title: As flags and as tables spell it.
        trainings: All of them, failed ones included.
        over_plain: Accuracy minus that of plain training, seed by seed;
            `None` for plain training itself or without it.
        over_kd: The same against soft targets.

    Example:

    >>> [(m.title, m.deviation("accuracy")) for m in comparison.methods]
    [('plain', 0.01...), ('KD', 0.012...), ('FT', 0.0164...)]
    """

    name: str
    title: str
    trainings: tuple[TrainingResult, ...]
    over_plain: Difference | None = None
    over_kd: Difference | None = None

    @property
    def finished(self) -> tuple[TrainingResult, ...]:
        """Those with an accuracy."""
        return tuple(t for t in self.trainings if t.accuracy is not None)

    def mean(self, field: str) -> float | None:
        """Of a field of `TrainingResult`; `None` if no seed has it."""
        known = self._known(field)
        return statistics.fmean(known) if known else None

    def deviation(self, field: str) -> float | None:
        """Standard deviation over the seeds; `None` for fewer than two."""
        known = self._known(field)
        return statistics.stdev(known) if len(known) > 1 else None

    def count(self, field: str) -> int:
        """How many seeds have a field of `TrainingResult`."""
        return len(self._known(field))

    def _known(self, field: str) -> Sequence[float]:
        values: list[Any] = [getattr(t, field) for t in self.trainings]
        return [value for value in values if value is not None]
