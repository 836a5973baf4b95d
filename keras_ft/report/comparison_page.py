"""Write the report of a comparison of methods, and its plots."""

from collections.abc import Mapping
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.experiments import peak_memory
from keras_ft.experiments.comparison.results import read_results
from keras_ft.experiments.training import read_history
from keras_ft.report import pages
from keras_ft.report import plots

_INCHES_PER_METHOD = 0.42

Content = Mapping[str, Any]


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
        run.check_command("compare")
        found = read_results(run.path)
        return pages.write_report(run, "comparison.html", _content(run, found))


def _content(
    run: experiments.RunFolder, found: dict[str, Any]
) -> dict[str, Any]:
    methods, trainings = found["methods"], found["trainings"]
    histories: dict[str, list[plots.Rows]] = {m["method"]: [] for m in methods}
    for training in trainings:
        if training["accuracy"] is not None:
            folder = experiments.RunFolder(run.path / training["folder"])
            history = read_history(folder.path, "student")
            histories[training["method"]].append(history)
    drawn = (
        _plot_gains(methods),
        _plot_accuracies(methods, trainings),
        _plot_learning(methods, histories),
    )
    about = found["about"]
    return {
        "title": f"{about['teacher']} teaches {about['student']} on "
        f"{about['dataset']}",
        "about": about,
        "verdicts": found["verdicts"],
        "methods": methods,
        "trainings": trainings,
        "plots": [plot for plot in drawn if plot is not None],
        "notes": _notes(found),
        "settings": pages.settings(about["settings"]),
    }


def _notes(found: dict[str, Any]) -> list[str]:
    """Return what a reader must know before quoting a number."""
    about, trainings = found["about"], found["trainings"]
    passes = f"{about['epochs']} pass{'es' * (about['epochs'] != 1)}"
    if about["teacher_pass"] == "live":
        source = "the same teacher, which ran in every training"
        seconds = (
            ", in which the teacher ran. Phase 1 of factor transfer comes on "
            "top."
        )
    else:
        source = "the same pass of the teacher"
        seconds = (
            ". The teacher's pass for all seeds "
            f"({about['teacher_pass_seconds']:,.0f} s) and phase 1 of factor "
            "transfer come on top."
        )
    notes = [
        "With each seed all methods began with the same weights, saw the same "
        f"batches ({passes} over the images) and learned from {source}. "
        "Accuracies are those after the last epoch, not those of the best one.",
        "The intervals are Student's t over the seeds, paired. They speak of "
        "other seeds, not of other test images, and are not corrected for "
        "comparing several methods at once.",
        f"Seconds are those of training the student{seconds}",
        "Plain training is Keras' own; the other students' batch "
        "normalization runs fused where that is faster (--acceleration), so "
        "that they may take less time than plain training.",
        _on_memory(trainings),
    ]
    images, labelled = about["train_examples"], about["labelled_examples"]
    if labelled < images:
        notes.append(pages.about_labels(images, labelled))
    settings = about["settings"]
    if settings["teacher"] is not None:
        notes += pages.about_teacher(settings["teacher"], images)
    betas = sorted({t["beta"] for t in trainings} - {None})
    if settings.get("beta_ratio") is not None and betas:
        notes.append(
            "The factor term's beta was measured, once per seed: "
            f"{', '.join(f'{beta:.4g}' for beta in betas)}."
        )
    images = {t["int8_images"] for t in trainings} - {None}
    if images:
        notes.append(
            f"int8 accuracies were measured in LiteRT on {max(images):,} test "
            "images."
        )
    for training in trainings:
        name = f"{training['method']}, seed {training['seed']}"
        if training["reason"] is not None:
            notes.append(f"{name} failed: {training['reason']}")
        if training["int8_refused"] is not None:
            notes.append(f"{name}: no int8 file. {training['int8_refused']}")
    return notes + list(about["notes"])


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


def _plot_gains(methods: Sequence[Content]) -> dict[str, str] | None:
    """Plot each method's difference to plain training, with its interval."""
    shown = [m for m in methods if m["over_plain"] is not None]
    if not shown:
        return None
    with plots.styled_axes(_height(shown)) as axes:
        axes.axvline(0, color=axes.xaxis.label.get_color(), linewidth=1)
        for place, method in enumerate(shown):
            over = method["over_plain"]
            color = _colors(methods)[method["method"]]
            if over["low"] is not None:
                bounds = [over["low"], over["high"]]
                axes.plot(bounds, [place, place], color=color, linewidth=3)
            axes.plot(over["mean"], place, "o", color=color, markersize=8)
        _name_rows(axes, shown)
        axes.set_xlabel("points")
        drawn = plots.svg(axes)
    return {
        "title": "Over plain training",
        "text": "Mean difference of the test accuracies and its 95 % "
        "interval. One that reaches over 0 shows nothing.",
        "svg": drawn,
    }


def _plot_accuracies(
    methods: Sequence[Content], trainings: Sequence[Content]
) -> dict[str, str] | None:
    """Plot the test accuracy of every training, per method."""
    finished = [t for t in trainings if t["accuracy"] is not None]
    if not finished:
        return None
    places = {method["method"]: i for i, method in enumerate(methods)}
    colors = _colors(methods)
    with plots.styled_axes(_height(methods)) as axes:
        for training in finished:
            axes.plot(
                100 * training["accuracy"],
                places[training["method"]],
                "o",
                color=colors[training["method"]],
                alpha=0.6,
            )
        _name_rows(axes, methods)
        axes.set_xlabel("percent")
        drawn = plots.svg(axes)
    return {
        "title": "Test accuracy",
        "text": "After the last epoch; one dot per seed.",
        "svg": drawn,
    }


def _plot_learning(
    methods: Sequence[Content], histories: Mapping[str, Sequence[plots.Rows]]
) -> dict[str, str] | None:
    """Plot validation accuracy over the epochs, the mean of all seeds."""
    colors = _colors(methods)
    lines = [
        (method["title"], colors[method["method"]], mean)
        for method in methods
        if (mean := _mean(histories[method["method"]]))
    ]
    if not lines:
        return None
    return {
        "title": "Validation accuracy",
        "text": "In percent, mean of the seeds.",
        "svg": plots.over_epochs(lines),
    }


def _mean(histories: Sequence[plots.Rows]) -> plots.Points:
    """Return the mean of each epoch that all seeds have."""
    seeds = [
        plots.points(rows, "val_accuracy", 100) for rows in histories if rows
    ]
    return [
        (seen[0][0], sum(value for _, value in seen) / len(seen))
        for seen in zip(*seeds, strict=False)
    ]


def _colors(methods: Sequence[Content]) -> dict[str, str]:
    others = [m["method"] for m in methods if m["method"] != "none"]
    return {
        "none": plots.GRAY,
        **{
            name: plots.COLORS[place % len(plots.COLORS)]
            for place, name in enumerate(others)
        },
    }


def _name_rows(axes: Axes, methods: Sequence[Content]) -> None:
    axes.set_yticks(range(len(methods)), [m["title"] for m in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)


def _height(methods: Sequence[Content]) -> float:
    return 0.9 + _INCHES_PER_METHOD * len(methods)
