"""Write the report of a run: which student is better, or that none is."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.experiments.evaluation import Evaluation
from keras_ft.experiments.students import on_variance
from keras_ft.experiments.training import read_history
from keras_ft.report import few_labels
from keras_ft.report import pages
from keras_ft.report import plots
from keras_ft.report.benchmark_page import pareto_plots
from keras_ft.report.sample_images import sample_images

# Methods in words; sums have a plus.
_LABELS_ONLY = "labels only"
_TITLES = {
    "ft": "Factor Transfer",
    "none": _LABELS_ONLY,
    "student": _LABELS_ONLY,  # as metrics.json of an earlier version says
    "kd": "soft targets (KD)",
    "skd": "soft targets on z-scores (SKD)",
    "dkd": "decoupled soft targets (DKD)",
    "at": "attention transfer (AT)",
    "fitnet": "hints (FitNets)",
}
_TERMS = {
    "task_loss": "the term of the labels",
    "factor_loss": "the term of the factors, before beta",
    "regularization_loss": "the student's own regularizers",
}
_LARGEST_CONFUSION = 20

Rows = list[dict[str, float]]


def write(
    run_dir: artifacts.PathLike,
    data_dir: artifacts.PathLike | None = None,
) -> Path:
    """Write the report of a run, from the files of its folder alone.

    The page is one HTML file without scripts or outside resources. It says
    which student is better, and also when none is.

    Args:
        run_dir: A run folder with `metrics.json`.
        data_dir: Where prepared datasets are, for the sample images.

    Returns:
        The path of `report.html` in the run's folder.

    Raises:
        InputError: The folder is no finished run, or a file is damaged.

    Example:

    >>> report.write("runs/first")
    PosixPath('runs/first/report.html')
    """
    with experiments.RunFolder(run_dir) as run:
        run.check_command("distill", "train_teacher")
        return pages.write_report(run, "run.html", _content(run, data_dir))


def headline(
    metrics: Mapping[str, Any],
    configuration: Mapping[str, Any] | None = None,
) -> str:
    """Return the result in one or two sentences.

    Args:
        metrics: The content of `metrics.json`.
        configuration: The run's, to say what several seeds of the same
            setting showed, where that was measured.

    Example:

    >>> headline({"teacher_accuracy": 0.93, "test_examples": 2000})
    'Teacher: 93.0 % on 2,000 test images.'
    """
    images = f"on {metrics['test_examples']:,} test images"
    students = _student_accuracies(metrics)
    if not students:
        teacher = pages.percent(metrics["teacher_accuracy"])
        return f"Teacher: {teacher} {images}."
    title, accuracy = next(iter(students.items()))
    start = f"Student with {title}: {pages.percent(accuracy)}"
    plain = students.get(_LABELS_ONLY)
    if title == _LABELS_ONLY or plain is None:
        return f"{start} {images}; nothing to compare it with was trained."
    gain = 100 * (accuracy - plain)
    verdict = _known_gain(configuration, metrics) or _verdict(
        gain, pages.noise(accuracy, metrics["test_examples"])
    )
    return (
        f"{start}, the same student with {_LABELS_ONLY}: "
        f"{pages.percent(plain)}: {gain:+.1f} points {images}. {verdict}"
    )


def _known_gain(
    configuration: Mapping[str, Any] | None, metrics: Mapping[str, Any]
) -> str | None:
    """Return what several seeds of the run's own setting showed, if known."""
    if configuration is None or "labelled_examples" not in configuration:
        return None
    if "methods" not in metrics:
        return None
    measured = few_labels.Measured.of(configuration)
    if measured is None:
        return None
    return measured.gain(
        metrics["methods"][0], configuration["labelled_examples"]
    )


def _few_labels(
    configuration: Mapping[str, Any], metrics: Mapping[str, Any]
) -> str | None:
    """Return the picture of accuracy over labels, for runs it speaks of."""
    labels = configuration.get("labelled_examples")
    if labels is None:
        return None
    measured = few_labels.Measured.of(configuration)
    if measured is None or len(measured.counts) < 2:
        return None
    own = {
        method: (labels, metrics[f"{method}_accuracy"])
        for method in metrics.get("methods", ())
    }
    return measured.picture(own)


def _verdict(gain: float, noise: float) -> str:
    if gain <= 0:
        return "No gain: the teacher did not help here."
    if gain < noise:
        return (
            f"That is within the noise of so few test images "
            f"(about ±{noise:.1f} points): no proof of a gain."
        )
    return "One seed: an indication, not a proof."


def _title(method: str) -> str:
    return " + ".join(_TITLES.get(part, part) for part in method.split("+"))


def _student_accuracies(metrics: Mapping[str, Any]) -> dict[str, float]:
    """Return the accuracies by the method's title, the shipped one first."""
    return {
        _title(name.removesuffix("_accuracy")): accuracy
        for name, accuracy in metrics.items()
        if name.endswith("_accuracy")
        and not name.startswith(("teacher_", "tflite_"))
    }


def _content(
    run: experiments.RunFolder, data_dir: artifacts.PathLike | None
) -> dict[str, Any]:
    metrics = experiments.read_metrics(run.path)
    found = _networks(run)
    data = experiments.load_run_data(run, data_dir)
    benchmark = None
    if run.is_finished(experiments.BENCHMARK):
        benchmark = run.result(experiments.BENCHMARK)
    about = run.configuration
    teacher = about["teacher"] or about["teacher_network"]
    title = f"Teacher {teacher}"
    if len(found) > 1:
        title = f"{found[1]['method']} from {teacher} to {about['student']}"
    return {
        "title": f"{title} on {about['dataset']}",
        "headline": headline(metrics, about),
        "few_labels": _few_labels(about, metrics),
        "metrics": metrics,
        "networks": found,
        "exports": _exports(run),
        "benchmark": benchmark,
        "pareto_plots": pareto_plots(benchmark) if benchmark else [],
        "plots": _plots(run, found),
        "epochs": _last_and_best(found[1:]),
        "classes": _classes(found, data.class_names),
        "confusion": _confusion(found, data.class_names),
        "samples": sample_images(run, data),
        "notes": [*_notes(run, metrics, found), *data.notes],
        "settings": pages.settings(about),
        "dataset": pages.flat(run.content["notes"]["dataset"]),
    }


def _networks(run: experiments.RunFolder) -> list[dict[str, Any]]:
    """Return what is known of each network: teacher, shipped student, others.

    Seconds and epochs are those of training in this run, and missing for a
    network that was given.
    """
    return [
        {
            "seconds": None,
            "epochs": None,
            **run.result(phase),
            "method": _title(phase),
            "name": "Teacher"
            if phase == "teacher"
            else f"Student, {_title(phase)}",
            "bytes": artifacts.verify(run.path, run.files(phase)[0])
            .stat()
            .st_size,
            "class_accuracy": Evaluation(
                run.result(phase)["confusion"]
            ).class_accuracy,
            "history": read_history(run.path, phase),
        }
        for phase in (
            "teacher",
            *filter(run.is_finished, run.configuration["methods"]),
        )
    ]


def _exports(run: experiments.RunFolder) -> list[dict[str, Any]]:
    return [
        {
            "quantization": phase.removeprefix("export_"),
            "file": content["files"][0],
            **content["result"],
        }
        for phase, content in run.content["phases"].items()
        if phase.startswith("export_")
    ]


def _plots(
    run: experiments.RunFolder, found: list[dict[str, Any]]
) -> list[dict[str, str]]:
    drawn = []
    lines = [
        (network["name"], color, points)
        for network, color in zip(
            found, (plots.GRAY, *plots.COLORS), strict=False
        )
        if (points := plots.points(network["history"], "val_accuracy", 100))
    ]
    if lines:
        drawn.append(
            {
                "title": "Validation accuracy",
                "text": "In percent, on images kept out of training.",
                "svg": plots.over_epochs(lines),
            }
        )
    if paraphrase := read_history(run.path, "paraphrase"):
        text = "Mean error of the paraphraser on the teacher's features."
        if told := _on_paraphraser(run):
            text += f" After the last epoch it {told[0]}."
        drawn.append(
            {
                "title": "Phase 1: reconstruction",
                "text": text,
                "svg": _training_and_validation(paraphrase, "loss"),
            }
        )
    for network in found[1:2]:
        drawn += _terms(network["history"])
    return drawn


def _on_paraphraser(run: experiments.RunFolder) -> list[str]:
    first = run.result("paraphrase") if run.is_finished("paraphrase") else {}
    # Runs that an earlier version began have none.
    kept = first.get("variance_kept")
    return [] if kept is None else on_variance(kept)


def _terms(rows: Rows) -> list[dict[str, str]]:
    """Plot every term of a student's loss that is not 0 throughout."""
    names = dict.fromkeys(name for row in rows for name in row)
    return [
        {
            "title": name,
            "text": f"Phase 2: {_TERMS.get(name, 'before its weight')}.",
            "svg": _training_and_validation(rows, name),
        }
        for name in names
        if name.endswith("_loss")
        and not name.startswith("val_")
        and any(row.get(name) for row in rows)
    ]


def _training_and_validation(rows: Rows, name: str) -> str:
    return plots.over_epochs(
        [
            ("training", plots.COLORS[0], plots.points(rows, name)),
            ("validation", plots.COLORS[1], plots.points(rows, f"val_{name}")),
        ],
        from_zero=True,
    )


def _last_and_best(students: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return validation accuracies after the last epoch and at their best."""
    found = []
    for student in students:
        known = [row for row in student["history"] if "val_accuracy" in row]
        if known:
            best = max(known, key=lambda row: row["val_accuracy"])
            found.append(
                {
                    "name": student["name"],
                    "last": known[-1]["val_accuracy"],
                    "best": best["val_accuracy"],
                    "best_epoch": int(best["epoch"]),
                    "epochs": int(known[-1]["epoch"]),
                }
            )
    return found


def _classes(
    found: list[dict[str, Any]], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    columns = [network["class_accuracy"] for network in found]
    return [
        {"name": name, "accuracies": row}
        for name, *row in zip(names, *columns, strict=True)
    ]


def _confusion(
    found: list[dict[str, Any]], names: tuple[str, ...]
) -> dict[str, Any] | None:
    # A table of a hundred columns helps nobody.
    if len(names) > _LARGEST_CONFUSION:
        return None
    network = found[1] if len(found) > 1 else found[0]
    return {
        "network": network["name"],
        "names": names,
        "rows": [
            (name, row, max(sum(row), 1))
            for name, row in zip(names, network["confusion"], strict=True)
        ],
    }


def _notes(
    run: experiments.RunFolder,
    metrics: Mapping[str, Any],
    found: list[dict[str, Any]],
) -> list[str]:
    """Return what a reader must know before quoting a number."""
    about = run.configuration
    told = []
    if about["teacher"] is not None:
        seen = run.content["notes"]["dataset"]["sizes"]["train"]
        told += pages.about_teacher(about["teacher"], seen)
    if len(found) > 2:
        each = [
            f"{network['method']}: {pages.percent(network['accuracy'])}"
            for network in found[1:]
        ]
        told.append(f"On the test images: {', '.join(each)}.")
    dataset = run.content["notes"]["dataset"]
    if labelled := dataset.get("labelled_examples"):
        told.append(pages.about_labels(dataset["sizes"]["train"], labelled))
    if len(found) > 1:
        told.append(
            "All students began with the same weights and saw the same "
            "batches. Their accuracies are those after the last epoch, not "
            "those of the best one."
        )
    told += [f"Paraphraser: {warning}" for warning in _on_paraphraser(run)[1:]]
    if beta := run.content["notes"].get("beta"):
        told.append(
            f"Not the recipe's beta but {beta['beta']:.4g}, measured on the "
            f"first batch: the factor's gradient begins {beta['ratio']:g} "
            "times as long as the task's."
        )
    for quantization, reason in metrics.get("export_refused", {}).items():
        told.append(f"The {quantization} file was refused: {reason}")
    return told
