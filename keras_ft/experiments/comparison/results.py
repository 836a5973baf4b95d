"""Gather a comparison's results: of trainings, of methods, verdicts."""

import dataclasses
import statistics
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import reading
from keras_ft.experiments.comparison import table
from keras_ft.experiments.comparison.difference import Difference
from keras_ft.experiments.comparison.trainings import COMMAND
from keras_ft.experiments.comparison.trainings import EXPORT
from keras_ft.experiments.comparison.trainings import PARAPHRASER
from keras_ft.experiments.comparison.trainings import REFUSED
from keras_ft.experiments.comparison.trainings import STUDENT
from keras_ft.experiments.comparison.trainings import Plan
from keras_ft.experiments.comparison.trainings import Trainings
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.run_folder import read_content
from keras_ft.methods import PLAIN
from keras_ft.methods import TITLES
from keras_ft.methods import Method
from keras_ft.methods import parse

RESULTS = "comparison.json"
_MAYBE = (float, None)
_DIFFERENCE = (
    {
        "seeds": int,
        "mean": float,
        "low": _MAYBE,
        "high": _MAYBE,
        "verdict": str,
    },
    None,
)
_SHAPE = {
    "about": {
        "dataset": str,
        "train_examples": int,
        "labelled_examples": int,
        "test_examples": int,
        "teacher": str,
        "teacher_accuracy": float,
        "student": str,
        "epochs": int,
        "teacher_pass": str,
        "teacher_pass_seconds": float,
        "seconds": float,
        "notes": [str],
        "settings": {"teacher": (str, None), "recipe": dict, str: Any},
        str: Any,
    },
    "methods": [
        {
            "method": str,
            "title": str,
            "seeds": int,
            "failed": int,
            "over_plain": _DIFFERENCE,
            "over_kd": _DIFFERENCE,
            str: _MAYBE,
        }
    ],
    "verdicts": [str],
    "trainings": [
        {
            "method": str,
            "seed": int,
            "folder": reading.NAME,
            "reason": (str, None),
            "memory_of": (str, None),
            "int8_refused": (str, None),
            "initial_weights": (str, None),
            "first_batch": (str, None),
            "accuracy": _MAYBE,
            "beta": _MAYBE,
            "int8_images": _MAYBE,
            str: _MAYBE,
        }
    ],
}
# Why trainings failed, by method and seed.
Reasons = dict[tuple[str, int], str]


@dataclasses.dataclass(frozen=True)
class TrainingResult:
    """Hold the result of a method with a seed; `None` where it failed.

    Attributes:
        method: Its name, such as `"ft+kd"`.
        seed: Of initial weights, order and augmentation.
        folder: Relative to the comparison's.
        reason: Why it failed; `None` if it did not.
        accuracy: On the test images after the last epoch, 0 to 1.
        validation_last, validation_best: Accuracy on the validation images
            after the last epoch and after the best one, 0 to 1.
        best_epoch, epochs: Counted from 1.
        beta: Weight of the factor term, for factor transfer.
        seconds: Of the student's training, with its validation.
        paraphrase_seconds: Of phase 1, for factor transfer.
        variance_kept: The share of the variance of the teacher's features
            that its paraphraser keeps, at most 1.
        memory_bytes: The most that the GPU held or the process had resident
            meanwhile; `None` where the system does not tell.
        memory_of: Whose memory that is: `"the GPU"` or `"this process"`.
        parameters: Of the student.
        int8_accuracy: Of the `.tflite` file, on `int8_images` test images.
        int8_bytes: Its size.
        int8_refused: Why there is none.
        initial_weights, first_batch: SHA-256 of what training began with:
            equal for all methods of a seed.

    Example:

    >>> [r.accuracy for r in comparison.trainings if r.method == "ft"]
    [0.894, 0.895, 0.923]
    """

    method: str
    seed: int
    folder: str
    reason: str | None = None
    accuracy: float | None = None
    validation_last: float | None = None
    validation_best: float | None = None
    best_epoch: int | None = None
    epochs: int | None = None
    beta: float | None = None
    seconds: float | None = None
    paraphrase_seconds: float | None = None
    variance_kept: float | None = None
    memory_bytes: int | None = None
    memory_of: str | None = None
    parameters: int | None = None
    int8_accuracy: float | None = None
    int8_images: int | None = None
    int8_bytes: int | None = None
    int8_refused: str | None = None
    initial_weights: str | None = None
    first_batch: str | None = None


@dataclasses.dataclass(frozen=True)
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
        """Return the trainings with an accuracy."""
        return tuple(t for t in self.trainings if t.accuracy is not None)

    def mean(self, field: str) -> float | None:
        """Return the mean of a field of `TrainingResult`, if a seed has it."""
        known = self._known(field)
        return statistics.fmean(known) if known else None

    def deviation(self, field: str) -> float | None:
        """Return the standard deviation over the seeds, of two and more."""
        known = self._known(field)
        return statistics.stdev(known) if len(known) > 1 else None

    def count(self, field: str) -> int:
        """Return how many seeds have a field of `TrainingResult`."""
        return len(self._known(field))

    def _known(self, field: str) -> list[Any]:
        values = [getattr(t, field) for t in self.trainings]
        return [value for value in values if value is not None]


@dataclasses.dataclass(frozen=True)
class Comparison:
    """Hold the measurements of `keras_ft.compare`.

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
        """Return an entry per method, in the order they were asked for."""
        names = dict.fromkeys(training.method for training in self.trainings)
        return tuple(self._method(name) for name in names)

    @property
    def failures(self) -> tuple[TrainingResult, ...]:
        """Return the trainings that did not come to their end."""
        return tuple(t for t in self.trainings if t.reason is not None)

    def table(self) -> str:
        """Return the methods as lines of text.

        Seconds are those of the student's training + those of phase 1.
        """
        return table.text(self.methods)

    def verdicts(self) -> list[str]:
        """Return a sentence per method: better than plain training, than KD?"""
        sentences = []
        for method in self.methods:
            for other, difference in (
                ("plain", method.over_plain),
                (TITLES["kd"], method.over_kd),
            ):
                if difference is None:
                    continue
                sentence = difference.sentence(method.title, other)
                seeds = len(method.trainings)
                if difference.seeds < seeds:
                    sentence += (
                        f"; {difference.seeds} of {seeds} seeds only, as "
                        "trainings failed"
                    )
                sentences.append(sentence)
        return sentences

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, as `comparison.json` holds them."""
        rows = []
        for method in self.methods:
            content = table.cells(method)
            for name in ("over_plain", "over_kd"):
                difference = getattr(method, name)
                content[name] = difference and {
                    **dataclasses.asdict(difference),
                    "verdict": difference.verdict,
                }
            rows.append(content)
        return {
            "about": dict(self.about),
            "methods": rows,
            "verdicts": self.verdicts(),
            "trainings": [dataclasses.asdict(t) for t in self.trainings],
        }

    def write(self) -> list[str]:
        """Write the results into the folder; return the files' names."""
        folder, content = self.run_dir, self.to_dict()
        artifacts.write_json(folder / RESULTS, content)
        artifacts.write_csv(folder / "trainings.csv", content["trainings"])
        artifacts.write_csv(
            folder / "methods.csv", [_flat(row) for row in content["methods"]]
        )
        artifacts.write_text(folder / "methods.tex", table.latex(self.methods))
        return [RESULTS, "trainings.csv", "methods.csv", "methods.tex"]

    def _method(self, name: str) -> MethodResult:
        ours = self._accuracies(name)
        return MethodResult(
            name=name,
            title=parse(name).title,
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


def read_results(folder: artifacts.PathLike) -> dict[str, Any]:
    """Return what the `comparison.json` of a folder holds.

    Raises:
        InputError: The folder holds no finished comparison, or the file is
            damaged.
    """
    path = artifacts.verify(folder, RESULTS)
    found: dict[str, Any] = artifacts.read_json(path, shape=_SHAPE)
    methods = [method["method"] for method in found["methods"]]
    if not {one["method"] for one in found["trainings"]} <= set(methods):
        raise artifacts.refused(path, "a training of no method in the table")
    return found


def read(run: RunFolder, trainings: Trainings, reasons: Reasons) -> Comparison:
    """Return everything that was measured, from the trainings' folders.

    Args:
        run: The comparison's folder, entered.
        trainings: Its trainings.
        reasons: Why some of them failed.
    """
    plan, data = trainings.plan, trainings.data
    found = tuple(
        _training_result(plan, method, seed, reasons.get((method.name, seed)))
        for method in plan.methods
        for seed in plan.seeds
    )
    settings, teacher = plan.settings, run.result("teacher")
    notes = run.content["notes"]
    about = {
        "dataset": data.name,
        "train_examples": data.sizes["train"],
        "labelled_examples": data.labelled_examples,
        "validation_examples": data.sizes["validation"],
        "test_examples": data.sizes["test"],
        "teacher": _end(settings.teacher or settings.teacher_network),
        "teacher_accuracy": teacher["accuracy"],
        "teacher_parameters": teacher["parameters"],
        "student": _end(settings.student),
        "recipe": settings.recipe.name,
        "epochs": settings.recipe.distill.epochs,
        "paraphrase_epochs": settings.recipe.paraphrase.epochs,
        "teacher_pass": notes["teacher_pass"],
        "teacher_pass_seconds": notes.get("teacher_pass_seconds", 0.0),
        "seconds": round(run.seconds - notes.get("idle_seconds", 0.0), 1),
        "notes": list(data.notes),
        "settings": plan.configuration,
    }
    return Comparison(run.path, found, about)


def _training_result(
    plan: Plan, method: Method, seed: int, reason: str | None
) -> TrainingResult:
    folder = plan.folder(method.name, seed)
    content = read_content(folder, COMMAND)
    phases = content["phases"]
    known: dict[str, Any] = {}
    if STUDENT in phases:
        result = phases[STUDENT]["result"]
        fields = {field.name for field in dataclasses.fields(TrainingResult)}
        known = {name: result[name] for name in fields & result.keys()}
    if EXPORT in phases:
        result = phases[EXPORT]["result"]
        known |= {
            "int8_accuracy": result["accuracy"],
            "int8_images": result["samples"],
            "int8_bytes": result["bytes"],
        }
    known["int8_refused"] = content["notes"].get(REFUSED)
    if method.has("ft"):
        first = read_content(plan.folder(PARAPHRASER, seed), COMMAND)["phases"]
        if "paraphrase" in first:
            result = first["paraphrase"]["result"]
            known["paraphrase_seconds"] = result["seconds"]
            known["variance_kept"] = result.get("variance_kept")
    return TrainingResult(
        method.name, seed, folder.name, reason=reason, **known
    )


def _end(network: str | None) -> str:
    """Return a name; a file's without the way to it."""
    return Path(network or "").name


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat = dict(row)
    for name in ("over_plain", "over_kd"):
        for key in ("seeds", "mean", "low", "high", "verdict"):
            flat[f"{name}_{key}"] = (row[name] or {}).get(key)
        del flat[name]
    return flat
