"""Whole runs: from settings to a folder of artifacts."""

from collections.abc import Iterable
from typing import Any

from keras_ft import artifacts
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.phases import STUDENTS
from keras_ft.experiments.phases import Phases
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.export import ExportError

METRICS = "metrics.json"
# The accuracies' names in metrics.json: `student` is the one trained alone.
_ACCURACIES = {"distil": "ft", "alone": "student", "kd": "kd"}


def train_teacher(
    run_dir: artifacts.PathLike,
    settings: Settings,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Train a teacher, or continue to.

    Args:
        run_dir: The run's folder.
        settings: Must name a `teacher_network`.
        command_line: Kept for the record.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out. On several
            machines the workers other than the chief get no metrics.

    Returns:
        What `metrics.json` holds: `teacher_accuracy`, `teacher_parameters`,
        `test_examples`, `seconds`.

    Raises:
        InputError: Settings do not fit each other or the folder.

    Example:

    >>> settings = Settings(recipe=recipe, teacher_network="resnet56")
    >>> train_teacher("runs/teacher", settings, echo=print)
    """
    placement = placement or Placement()
    configuration = _configuration("train_teacher", settings, placement)
    with (
        placement.explained(run_dir),
        _open(run_dir, configuration, command_line, placement) as run,
    ):
        Phases(run, settings, echo, placement).teacher()
        return _write_metrics(run, placement)


def distil(
    run_dir: artifacts.PathLike,
    settings: Settings,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Run both phases, the baselines and the export, or continue to.

    Args:
        run_dir: The run's folder.
        settings: What to do.
        command_line: Kept for the record.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out. On several
            machines the workers other than the chief get no metrics.

    Returns:
        What `metrics.json` holds. Accuracies are on the test split and go
        from 0 to 1: `teacher_accuracy`, `ft_accuracy` (the distilled
        student), and where asked for `student_accuracy` (the same student
        trained alone) and `kd_accuracy`. For each `.tflite` file, with
        `tflite` or `tflite_<quantization>` in front: `_bytes`, `_agreement`,
        `_accuracy`. Then `teacher_parameters`, `student_parameters`,
        `test_examples` and `seconds`. `export_refused` gives the reason for
        each `.tflite` file that was not good enough to be handed over.

    Raises:
        InputError: Settings do not fit each other or the folder.

    Example:

    >>> metrics = distil("runs/first", settings, echo=print)
    >>> metrics["ft_accuracy"] - metrics["student_accuracy"]
    """
    placement = placement or Placement()
    _check_beta(settings, placement)
    configuration = _configuration("distill", settings, placement)
    with (
        placement.explained(run_dir),
        _open(run_dir, configuration, command_line, placement) as run,
    ):
        phases = Phases(run, settings, echo, placement)
        teacher = phases.teacher()
        paraphraser = phases.paraphrase(teacher)
        student = phases.distil(teacher, paraphraser)
        if "alone" in settings.baselines:
            phases.alone()
        if "kd" in settings.baselines:
            phases.kd(teacher)
        phases.source.forget()
        refused = {}
        for quantization in settings.quantizations:
            try:
                phases.export(student, quantization)
            except ExportError as error:
                # The other results stand; the caller is told at the end.
                refused[quantization] = str(error)
        return _write_metrics(run, placement, refused)


def _check_beta(settings: Settings, placement: Placement) -> None:
    if settings.beta_ratio is not None and placement.name == "multi_worker":
        raise InputError(
            "beta_ratio",
            f"{settings.beta_ratio:g} with the strategy 'multi_worker'",
            "a beta that is measured by one process",
            "Run `keras-ft distill --beta=auto` on one machine until it says "
            "which, and give the number to all workers.",
        )


def _configuration(
    command: str, settings: Settings, placement: Placement
) -> dict[str, Any]:
    content = {"command": command, **settings.configuration()}
    return content | {"strategy": placement.name}


def _open(
    run_dir: artifacts.PathLike,
    configuration: dict[str, Any],
    command_line: Iterable[str],
    placement: Placement,
) -> RunFolder | Follower:
    if placement.is_chief:
        return RunFolder(run_dir, configuration, command_line)
    return Follower(run_dir)


def _write_metrics(
    run: RunFolder | Follower,
    placement: Placement,
    refused: dict[str, str] | None = None,
) -> dict[str, Any]:
    # Nobody leaves before the chief is done.
    placement.agree(None)
    if not isinstance(run, RunFolder):
        return {}
    teacher = run.result("teacher")
    metrics: dict[str, Any] = {"teacher_accuracy": teacher["accuracy"]}
    for phase in STUDENTS:
        if run.is_finished(phase):
            name = f"{_ACCURACIES[phase]}_accuracy"
            metrics[name] = run.result(phase)["accuracy"]
    for phase in run.content["phases"]:
        if phase.startswith("export_"):
            metrics |= _of_export(run, phase)
    metrics["teacher_parameters"] = teacher["parameters"]
    if run.is_finished("distil"):
        metrics["student_parameters"] = run.result("distil")["parameters"]
    metrics["test_examples"] = teacher["examples"]
    metrics["seconds"] = round(run.seconds, 1)
    if refused:
        metrics["export_refused"] = refused
    artifacts.write_json(run.path / METRICS, metrics)
    artifacts.record(run.path, [METRICS])
    return metrics


def _of_export(run: RunFolder, phase: str) -> dict[str, Any]:
    quantization = phase.removeprefix("export_")
    front = "tflite" if quantization == "none" else f"tflite_{quantization}"
    result = run.result(phase)
    return {
        f"{front}_{name}": result[name]
        for name in ("bytes", "agreement", "accuracy")
    }
