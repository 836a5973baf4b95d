"""Write the report of a search for hyper-parameters."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.ticker import FixedLocator
from matplotlib.ticker import NullLocator

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft import reading
from keras_ft.experiments.run_shape import SHARE
from keras_ft.report import pages
from keras_ft.report import plots

# `keras_ft.tuner` writes it.
TRIALS = "trials.json"
_RATE = reading.Kind(
    "a number above 0", lambda x: type(x) in (int, float) and 0 < x < 1e9
)
_SHAPE = {
    "objective": str,
    "trials": [
        {
            "score": (float, None),
            "best_epoch": (int, None),
            "epochs": (int, None),
            "seconds": (float, None),
            "status": str,
            "message": (str, None),
            "rate?": _RATE,
            # The values that were tried.
            str: (float, str, bool),
        }
    ],
    "best": {str: (float, str, bool)},
    "best_score": float,
    "best_epochs": int,
    "epochs": int,
    "test_accuracy": float,
    "test_examples": int,
}


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
        run.check_command("tune")
        found = _read_trials(run.path)
        return pages.write_report(run, "search.html", _content(run, found))


def _read_trials(folder: Path) -> dict[str, Any]:
    path = artifacts.verify(folder, TRIALS)
    found: dict[str, Any] = artifacts.read_json(path, shape=_SHAPE)
    if not found["trials"]:
        raise artifacts.refused(path, "no trials")
    # All trials have the values that the first has.
    trial = {**dict.fromkeys(found["trials"][0], Any), str: Any}
    more = {"trials": [trial], str: Any}
    if found["objective"] == "val_accuracy":
        more["best_score"] = SHARE
    reading.check(found, more, path)
    return found


def search_headline(found: Mapping[str, Any]) -> str:
    """Return the result in a sentence or two.

    Args:
        found: What `tune` returned.
    """
    trained, whole = found["best_epochs"], found["epochs"]
    short = f" It was trained for {trained} of {whole} epochs only."
    return (
        f"Best of {len(found['trials'])} trials: "
        f"{_label(found['best'])}, with {found['objective']} "
        f"{found['best_score']:.4f}. Its student is right on "
        f"{pages.percent(found['test_accuracy'])} of "
        f"{found['test_examples']:,} test images."
        f"{short if trained < whole else ''}"
    )


def search_lines(found: Mapping[str, Any]) -> list[str]:
    """Return the trials as lines of text, one each.

    Args:
        found: What `tune` returned.
    """
    lines = []
    for trial in found["trials"]:
        name = _label({n: trial[n] for n in _parameters(found["trials"])})
        if trial["status"] == "COMPLETED":
            lines.append(
                f"{name}: {found['objective']} {trial['score']:.4f} in epoch "
                f"{trial['best_epoch']} of {trial['epochs']}, "
                f"{pages.time(trial['seconds'])}"
            )
        else:
            lines.append(f"{name}: {trial['status'].lower()}")
    return lines


def _label(values: Mapping[str, Any]) -> str:
    from keras_ft.tuner import space  # takes a second: it has keras-tuner

    return space.label(values)


def _parameters(trials: list[dict[str, Any]]) -> list[str]:
    from keras_ft.tuner import space

    return [name for name in trials[0] if name not in space.RESULTS]


def _content(
    run: experiments.RunFolder, found: dict[str, Any]
) -> dict[str, Any]:
    about, trials = run.configuration, found["trials"]
    parameters = _parameters(trials)
    scores = [
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
                "label": _label({name: trial[name] for name in parameters}),
                "message": trial["message"],
            }
            for trial in trials
            if trial["status"] != "COMPLETED"
        ],
        "curve": _score_over_rate(scores, found["objective"]),
        "notes": _notes(run, found),
        "settings": pages.settings(about),
    }


def _score_over_rate(scores: plots.Points, objective: str) -> str | None:
    """Plot every trial's score, and the best one at each rate."""
    if not scores:
        return None
    better = min if objective.endswith("loss") else max
    best: dict[float, float] = {}
    for rate, score in sorted(scores):
        best[rate] = better(score, best.get(rate, score))
    color = plots.COLORS[0]
    with plots.styled_axes(3.6, width=7.2) as axes:
        axes.plot(list(best), list(best.values()), color=color, linewidth=2)
        axes.plot(*zip(*scores, strict=True), "o", color=color, markersize=5)
        # Rates are halved and doubled, so every step is as wide.
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(list(best)))
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("rate")
        axes.set_ylabel(objective)
        return plots.svg(axes)


def _notes(run: experiments.RunFolder, found: Mapping[str, Any]) -> list[str]:
    """Return what a reader must know before quoting a number."""
    about = run.content["notes"]["dataset"]
    images = about["sizes"]["validation"]
    chance = ""
    if found["objective"] == "val_accuracy":
        noise = pages.noise(found["best_score"], images)
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
        *about_beta(run.configuration),
        *about["notes"],
    ]


def about_beta(settings: Mapping[str, Any]) -> list[str]:
    """Warn where one beta is used for rates that it weighs differently.

    Args:
        settings: The configuration of the search's run.
    """
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
