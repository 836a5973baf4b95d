"""The result of a comparison."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_ft.comparison import table
from keras_ft.comparison.difference import Difference
from keras_ft.comparison.method import PLAIN
from keras_ft.comparison.method import TITLES
from keras_ft.comparison.method import Method
from keras_ft.comparison.method_result import MethodResult
from keras_ft.comparison.training_result import TrainingResult


@dataclasses.dataclass(frozen=True)
class Comparison:
    """What `keras_ft.compare` measured.

    Attributes:
        run_dir: Its folder.
        trainings: One entry per method and seed.
        about: What all of them share: `teacher`, `teacher_accuracy`,
            `student`, `dataset`, `test_examples`, `epochs`,
            `paraphrase_epochs`, `teacher_pass`, `seconds` and `settings`.

    Example:

    >>> print(comparison.table())
    method   seeds   test accuracy  ...  over plain, 95 % CI  ...
    plain   3 of 3  90.00 ± 1.00 %  ...
    KD      3 of 3  90.90 ± 1.20 %  ...      +0.9 [0.4, 1.4]  ...
    FT      3 of 3  90.40 ± 1.65 %  ...     +0.4 [-1.8, 2.6]  ...
    >>> comparison.verdicts()[0]
    'KD +0.9 pt over plain, 95 % CI [0.4, 1.4]'
    """

    run_dir: Path
    trainings: tuple[TrainingResult, ...]
    about: Mapping[str, Any]

    @property
    def methods(self) -> tuple[MethodResult, ...]:
        """One entry per method, in the order in which they were asked for."""
        names = dict.fromkeys(training.method for training in self.trainings)
        return tuple(self._method(name) for name in names)

    @property
    def failures(self) -> tuple[TrainingResult, ...]:
        """The trainings that did not come to their end."""
        return tuple(t for t in self.trainings if t.reason is not None)

    def table(self) -> str:
        """The methods as lines of text.

        Seconds are those of the student's training + those of phase 1.
        """
        return table.text(self.methods)

    def verdicts(self) -> list[str]:
        """One sentence per method: better than plain training, than KD?"""
        sentences = []
        for method in self.methods:
            for other, difference in (
                ("plain", method.over_plain),
                (TITLES["kd"], method.over_kd),
            ):
                if difference is not None:
                    sentence = difference.sentence(method.title, other)
                    seeds = len(method.trainings)
                    if difference.seeds < seeds:
                        sentence += (
                            f"; {difference.seeds} of {seeds} seeds only, "
                            "as trainings failed"
                        )
                    sentences.append(sentence)
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as `comparison.json` holds them."""
        methods = []
        for method in self.methods:
            content = table.cells(method)
            for name in ("over_plain", "over_kd"):
                difference = getattr(method, name)
                content[name] = difference and {
                    **dataclasses.asdict(difference),
                    "verdict": difference.verdict,
                }
            methods.append(content)
        return {
            "about": dict(self.about),
            "methods": methods,
            "verdicts": self.verdicts(),
            "trainings": [dataclasses.asdict(t) for t in self.trainings],
        }

    def _method(self, name: str) -> MethodResult:
        method = Method.parse(name)
        ours = self._accuracies(name)
        return MethodResult(
            name=name,
            title=method.title,
            trainings=tuple(t for t in self.trainings if t.method == name),
            over_plain=None
            if name == PLAIN
            else Difference.of(ours, self._accuracies(PLAIN)),
            over_kd=None
            if name in (PLAIN, "kd")
            else Difference.of(ours, self._accuracies("kd")),
        )

    def _accuracies(self, name: str) -> dict[int, float]:
        return {
            t.seed: t.accuracy
            for t in self.trainings
            if t.method == name and t.accuracy is not None
        }
