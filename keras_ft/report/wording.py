"""Numbers in plain words, losses and doubts included."""

import math
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from keras_ft.experiments import RunFolder
from keras_ft.report.networks import Network

_NAMES = {"student": "labels only", "kd": "soft targets (KD)"}


def headline(metrics: Mapping[str, Any]) -> str:
    """The result in one or two sentences.

    Args:
        metrics: The content of `metrics.json`.

    Example:

    >>> headline({"teacher_accuracy": 0.93, "test_examples": 2000})
    'Teacher: 93.0 % on 2,000 test images.'
    """
    images = f"on {metrics['test_examples']:,} test images"
    if "ft_accuracy" not in metrics:
        return f"Teacher: {percent(metrics['teacher_accuracy'])} {images}."
    student = metrics["ft_accuracy"]
    start = f"Student with Factor Transfer: {percent(student)}"
    if "student_accuracy" not in metrics:
        return f"{start} {images}; nothing to compare it with was trained."
    other = metrics["student_accuracy"]
    gain = 100 * (student - other)
    verdict = _verdict(gain, noise(student, metrics["test_examples"]))
    return (
        f"{start}, the same student with labels only: {percent(other)}: "
        f"{gain:+.1f} points {images}. {verdict}"
    )


def _verdict(gain: float, noise_points: float) -> str:
    if gain <= 0:
        return "No gain: the teacher did not help here."
    if gain < noise_points:
        return (
            f"That is within the noise of so few test images "
            f"(about ±{noise_points:.1f} points): no proof of a gain."
        )
    return "One seed: an indication, not a proof."


def noise(accuracy: float, examples: int) -> float:
    """Points by which two equal networks differ in 5 % of such tests.

    Two independent binomial shares; networks that err on the same images
    differ less, so this is on the careful side.
    """
    deviation = math.sqrt(2 * accuracy * (1 - accuracy) / max(examples, 1))
    return 196 * deviation


def caveats(run: RunFolder, metrics: Mapping[str, Any]) -> list[str]:
    """What a reader must know before quoting a number."""
    about = run.configuration
    told = []
    sizes = run.content["notes"]["dataset"]["sizes"]
    if about["teacher"] is not None:
        told += on_teacher(about["teacher"], sizes["train"])
    if "kd_accuracy" in metrics and "ft_accuracy" in metrics:
        told.append(
            f"Soft targets (KD): {percent(metrics['kd_accuracy'])}, "
            f"Factor Transfer: {percent(metrics['ft_accuracy'])}."
        )
    if run.is_finished("distil"):
        told.append(
            "All students began with the same weights and saw the same "
            "batches. Their accuracies are those after the last epoch, not "
            "those of the best one."
        )
    if beta := run.content["notes"].get("beta"):
        told.append(
            f"Not the recipe's beta but {beta['beta']:.4g}, measured on the "
            f"first batch: the factor's gradient begins {beta['ratio']:g} "
            "times as long as the task's."
        )
    for quantization, reason in metrics.get("export_refused", {}).items():
        told.append(f"The {quantization} file was refused: {reason}")
    return told


def on_teacher(source: str, seen: int) -> list[str]:
    """About a teacher that was there before.

    Args:
        source: A file, a run folder or a name of the zoo.
        seen: How many images the students learn from.
    """
    return [
        f"The teacher was not trained in this run and may have seen other "
        f"images than the students, which saw {seen:,}. That is the usual "
        "case of a good teacher and few labels.",
        *_provenance(source),
    ]


def _provenance(teacher: str) -> list[str]:
    from keras_ft import zoo
    from keras_ft.errors import InputError

    try:
        record = zoo.provenance(teacher)
    except InputError:
        return []  # A file or a run folder: its origin is the user's.
    right = percent(record["test_accuracy_official_10000"])
    return [
        f"The teacher comes with the package: {record['network']}, trained on "
        f"{record['data']['trained_on']}; it is right on {right} of the "
        "10,000 official test images."
    ]


def last_and_best(
    students: Sequence[Network], rows: Mapping[str, list[dict[str, float]]]
) -> list[dict[str, Any]]:
    """Validation accuracy after the last epoch and at its best."""
    found = []
    for network in students:
        known = [r for r in rows[network.phase] if "val_accuracy" in r]
        if known:
            best = max(known, key=lambda row: row["val_accuracy"])
            found.append(
                {
                    "name": network.name,
                    "last": known[-1]["val_accuracy"],
                    "best": best["val_accuracy"],
                    "best_epoch": int(best["epoch"]),
                    "epochs": int(known[-1]["epoch"]),
                }
            )
    return found


def percent(share: float) -> str:
    """0.8412 as '84.1 %'."""
    return f"{100 * share:.1f} %"


def size(count: int) -> str:
    """Bytes for people: 1,234,567 as '1.2 MB'."""
    if count < 1000:
        return f"{count} B"
    if count < 999_500:
        return f"{count / 1000:.0f} kB"
    digits = 1 if count < 99_950_000 else 0
    return f"{count / 1e6:,.{digits}f} MB"


def time(seconds: float | None) -> str:
    """Seconds for people: 75 as '1 min 15 s'."""
    if seconds is None:
        return "not trained here"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
