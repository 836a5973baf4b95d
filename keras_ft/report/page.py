"""From a finished run folder to `report.html`."""

from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.experiments.training import read_history
from keras_ft.report import curves
from keras_ft.report import pareto
from keras_ft.report import samples
from keras_ft.report import wording
from keras_ft.report.networks import Network
from keras_ft.report.networks import networks
from keras_ft.report.templates import flat
from keras_ft.report.templates import template

REPORT = "report.html"


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
        path = run.path / REPORT
        page = template("run.html").render(_content(run, data_dir))
        artifacts.write_text(path, page)
        artifacts.record(run.path, [REPORT])
    return path


def _content(
    run: experiments.RunFolder, data_dir: artifacts.PathLike | None
) -> dict[str, Any]:
    metrics = artifacts.read_json(
        artifacts.verify(run.path, experiments.METRICS)
    )
    found = networks(run)
    students = [network for network in found if network.phase != "teacher"]
    rows = {
        network.phase: read_history(run, network.phase) for network in found
    }
    data = experiments.load_run_data(run, data_dir)
    benchmark = None
    if run.is_finished(experiments.BENCHMARK):
        benchmark = run.result(experiments.BENCHMARK)
    return {
        "title": _title(run),
        "headline": wording.headline(metrics),
        "metrics": metrics,
        "networks": found,
        "exports": _exports(run),
        "benchmark": benchmark,
        "pareto_plots": pareto.plots(benchmark) if benchmark else [],
        "plots": _plots(run, found, rows),
        "epochs": wording.last_and_best(students, rows),
        "classes": _classes(found, data.class_names),
        "confusion": _confusion(run, found, data.class_names),
        "samples": samples.samples(run, data),
        "notes": [*wording.caveats(run, metrics), *data.notes],
        "settings": flat(run.configuration),
        "dataset": flat(run.content["notes"]["dataset"]),
        "sessions": run.content["sessions"],
        "files": {
            name: digest
            for name, digest in artifacts.manifest(run.path).items()
            if name != REPORT
        },
    }


def _title(run: experiments.RunFolder) -> str:
    about = run.configuration
    teacher = about["teacher"] or about["teacher_network"]
    if not run.is_finished("distil"):
        return f"Teacher {teacher} on {about['dataset']}"
    return (
        f"Factor Transfer from {teacher} to {about['student']} on "
        f"{about['dataset']}"
    )


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
    run: experiments.RunFolder,
    found: list[Network],
    rows: dict[str, list[dict[str, float]]],
) -> list[dict[str, str]]:
    lines = {
        network.name: (network.phase, rows[network.phase])
        for network in found
        if rows[network.phase]
    }
    plots = []
    known = [row for _, its_rows in lines.values() for row in its_rows]
    if any("val_accuracy" in row for row in known):
        plots.append(curves.accuracy(lines))
    paraphrase = read_history(run, "paraphrase")
    if paraphrase:
        plots.append(curves.reconstruction(paraphrase))
    if rows.get("distil"):
        plots += curves.terms(rows["distil"])
    return plots


def _classes(
    found: list[Network], names: tuple[str, ...]
) -> list[dict[str, Any]]:
    return [
        {
            "name": name,
            "accuracies": [network.class_accuracy[i] for network in found],
        }
        for i, name in enumerate(names)
    ]


def _confusion(
    run: experiments.RunFolder, found: list[Network], names: tuple[str, ...]
) -> dict[str, Any] | None:
    phase = "distil" if run.is_finished("distil") else "teacher"
    # A table of a hundred columns helps nobody.
    if len(names) > 20:
        return None
    counts = run.result(phase)["confusion"]
    network = next(n for n in found if n.phase == phase)
    return {
        "network": network.name,
        "names": names,
        "rows": [
            (name, row, max(sum(row), 1))
            for name, row in zip(names, counts, strict=True)
        ],
    }
