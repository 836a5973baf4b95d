"""From a finished search to `report.html`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.report import curves
from keras_ft.report import wording
from keras_ft.report.page import REPORT
from keras_ft.report.templates import flat
from keras_ft.report.templates import template
from keras_ft.tuner import results
from keras_ft.tuner import search_run
from keras_ft.tuner import space


def write_search(run_dir: artifacts.PathLike) -> Path:
    """Write the report of a search, from the files of its folder alone.

    Args:
        run_dir: The folder of `keras_ft.tuner.tune`.

    Returns:
        The path of `report.html` in it.

    Raises:
        InputError: The folder is no finished search, or a file is damaged.

    Example:

    >>> report.write_search("runs/search")
    PosixPath('runs/search/report.html')
    """
    with experiments.RunFolder(run_dir) as run:
        path = run.path / REPORT
        page = template("search.html").render(_content(run))
        artifacts.write_text(path, page)
        artifacts.record(run.path, [REPORT])
    return path


def search_headline(found: Mapping[str, Any]) -> str:
    """The result in a sentence or two.

    Args:
        found: What `tune` returned.
    """
    trained, whole = found["best_epochs"], found["epochs"]
    short = f" It was trained for {trained} of {whole} epochs only."
    return (
        f"Best of {len(found['trials'])} trials: "
        f"{space.label(found['best'])}, with {found['objective']} "
        f"{found['best_score']:.4f}. Its student is right on "
        f"{wording.percent(found['test_accuracy'])} of "
        f"{found['test_examples']:,} test images."
        f"{short if trained < whole else ''}"
    )


def search_lines(found: Mapping[str, Any]) -> list[str]:
    """The trials as lines of text, one each.

    Args:
        found: What `tune` returned.
    """
    lines = []
    for trial in found["trials"]:
        name = space.label({n: trial[n] for n in _parameters(found["trials"])})
        if trial["status"] == "COMPLETED":
            lines.append(
                f"{name}: {found['objective']} {trial['score']:.4f} in epoch "
                f"{trial['best_epoch']} of {trial['epochs']}, "
                f"{wording.time(trial['seconds'])}"
            )
        else:
            lines.append(f"{name}: {trial['status'].lower()}")
    return lines


def _parameters(trials: list[dict[str, Any]]) -> list[str]:
    return [name for name in trials[0] if name not in results.NUMBERS]


def _content(run: experiments.RunFolder) -> dict[str, Any]:
    found = artifacts.read_json(artifacts.verify(run.path, search_run.TRIALS))
    trials = found["trials"]
    parameters = _parameters(trials)
    about = run.configuration
    points = [
        (trial["rate"], trial["score"])
        for trial in trials
        if "rate" in trial and trial["score"] is not None
    ]
    return {
        "title": f"Search for Factor Transfer from {about['teacher']} to "
        f"{about['student']} on {about['dataset']}",
        "headline": search_headline(found),
        "objective": found["objective"],
        "parameters": parameters,
        "trials": trials,
        "failures": [
            {
                "label": space.label({n: trial[n] for n in parameters}),
                "message": trial["message"],
            }
            for trial in trials
            if trial["status"] != "COMPLETED"
        ],
        "curve": _curve(found["objective"], points),
        "notes": _notes(run, found),
        "settings": flat(about),
        "sessions": run.content["sessions"],
        "files": {
            name: digest
            for name, digest in artifacts.manifest(run.path).items()
            if name != REPORT
        },
    }


def _curve(objective: str, points: list[tuple[float, float]]) -> str | None:
    if not points:
        return None
    best = min if objective.endswith("loss") else max
    return curves.score_over_rate(points, objective, best)


def _on_beta(settings: Mapping[str, Any]) -> list[str]:
    recipe, rates = settings["recipe"], settings["rates"]
    one_rate = rates is None or (isinstance(rates, list) and len(rates) == 1)
    # An attention map is of one size for all rates.
    a_mean = recipe["form"] == "flat" and recipe.get("reduction") is None
    if settings["betas"] is not None or one_rate or not a_mean:
        return []
    return [
        "One beta for all rates: the factor's distance is a mean over its "
        "entries, so that a larger rate pulls less hard at the student. "
        "Search --betas as well, or use --reduction=sum, to tell the two apart."
    ]


def _notes(run: experiments.RunFolder, found: Mapping[str, Any]) -> list[str]:
    about = run.content["notes"]["dataset"]
    images = about["sizes"]["validation"]
    chance = ""
    if found["objective"] == "val_accuracy":
        noise = wording.noise(found["best_score"], images)
        chance = (
            f" Two equally good students differ by up to {noise:.1f} points "
            "on so few, 19 times out of 20."
        )
    return [
        f"Scores are those of each trial's best epoch on {images:,} "
        "validation images: the more trials and epochs, the luckier the best "
        f"one.{chance}",
        "All trials started from the same weights and saw the same batches: "
        "one seed.",
        *_on_beta(run.configuration),
        *about["notes"],
    ]
