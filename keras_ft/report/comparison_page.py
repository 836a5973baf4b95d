"""From a comparison's folder to its `report.html`."""

from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.experiments import peak_memory
from keras_ft.experiments.training import read_history
from keras_ft.report import comparison_plots as plots
from keras_ft.report import wording
from keras_ft.report.page import REPORT
from keras_ft.report.templates import flat
from keras_ft.report.templates import template

# `comparison.files` writes it.
RESULTS = "comparison.json"


def write_comparison(run_dir: artifacts.PathLike) -> Path:
    """Write the report of a comparison, from the files of its folder alone.

    The page is one HTML file without scripts or outside resources.

    Args:
        run_dir: What `keras_ft.compare` was given.

    Returns:
        The path of `report.html` in the folder.

    Raises:
        InputError: The folder holds no comparison, or a file is damaged.

    Example:

    >>> report.write_comparison("runs/compare")
    PosixPath('runs/compare/report.html')
    """
    with experiments.RunFolder(run_dir) as run:
        content = artifacts.read_json(artifacts.verify(run.path, RESULTS))
        page = template("comparison.html").render(_content(run, content))
        artifacts.write_text(run.path / REPORT, page)
        artifacts.record(run.path, [REPORT])
        return run.path / REPORT


def _content(
    run: experiments.RunFolder, content: dict[str, Any]
) -> dict[str, Any]:
    methods, trainings = content["methods"], content["trainings"]
    rows: dict[str, list[Any]] = {m["method"]: [] for m in methods}
    for training in trainings:
        folder = experiments.RunFolder(run.path / training["folder"])
        history = read_history(folder, "student")
        if training["accuracy"] is not None:
            rows[training["method"]].append(history)
    drawn = (
        plots.gains(methods),
        plots.seeds(methods, trainings),
        plots.learning(methods, rows),
    )
    about = content["about"]
    return {
        "title": f"{about['teacher']} teaches {about['student']} on "
        f"{about['dataset']}",
        "about": about,
        "verdicts": content["verdicts"],
        "methods": methods,
        "trainings": trainings,
        "plots": [plot for plot in drawn if plot is not None],
        "notes": _notes(content),
        "settings": flat(about["settings"]),
        "sessions": run.content["sessions"],
    }


def _notes(content: dict[str, Any]) -> list[str]:
    about = content["about"]
    notes = [
        "With each seed all methods began with the same weights, saw the same "
        f"batches ({_passes(about['epochs'])}) and learned from "
        f"{_source(about)}. Accuracies are those after the last epoch, not "
        "those of the best one.",
        "The intervals are Student's t over the seeds, paired. They speak of "
        "other seeds, not of other test images, and are not corrected for "
        "comparing several methods at once.",
        _on_seconds(about),
        "Plain training is Keras' own; the other students' batch "
        "normalization runs fused where that is faster (--acceleration), so "
        "that they may take less time than plain training.",
        _on_memory(content["trainings"]),
    ]
    settings = about["settings"]
    if settings["teacher"] is not None:
        notes += wording.on_teacher(
            settings["teacher"], about["train_examples"]
        )
    betas = sorted({t["beta"] for t in content["trainings"]} - {None})
    if settings.get("beta_ratio") is not None and betas:
        notes.append(
            "The factor term's beta was measured, once per seed: "
            f"{', '.join(f'{beta:.4g}' for beta in betas)}."
        )
    images = {t["int8_images"] for t in content["trainings"]} - {None}
    if images:
        notes.append(
            f"int8 accuracies were measured in LiteRT on {max(images):,} test "
            "images."
        )
    for training in content["trainings"]:
        name = f"{training['method']}, seed {training['seed']}"
        if training["reason"] is not None:
            notes.append(f"{name} failed: {training['reason']}")
        if training["int8_refused"] is not None:
            notes.append(f"{name}: no int8 file. {training['int8_refused']}")
    return notes + list(about["notes"])


def _passes(epochs: int) -> str:
    return f"{epochs} pass{'es' * (epochs != 1)} over the images"


def _source(about: dict[str, Any]) -> str:
    if about["teacher_pass"] == "live":
        return "the same teacher, which ran in every training"
    return "the same pass of the teacher"


def _on_memory(trainings: list[dict[str, Any]]) -> str:
    if any(t.get("memory_of") == peak_memory.GPU for t in trainings):
        return (
            "Memory is the most that TensorFlow held on the first GPU while "
            "the student trained."
        )
    return (
        "Memory is the most that the whole process had resident while the "
        "student trained, TensorFlow, the images and what earlier trainings "
        "left included; --isolate gives each training a process of its own. "
        "A GPU's own memory is not in it."
    )


def _on_seconds(about: dict[str, Any]) -> str:
    if about["teacher_pass"] == "live":
        return (
            "Seconds are those of training the student, in which the teacher "
            "ran. Phase 1 of factor transfer comes on top."
        )
    return (
        "Seconds are those of training the student. The teacher's pass for "
        f"all seeds ({about['teacher_pass_seconds']:,.0f} s) and phase 1 of "
        "factor transfer come on top."
    )
