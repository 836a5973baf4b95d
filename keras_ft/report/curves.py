"""Curves as inline SVG that takes its ink from the page."""

import contextlib
import io
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator
from matplotlib.ticker import MaxNLocator
from matplotlib.ticker import NullLocator

# Legible on white and on black alike.
COLOURS = {
    "teacher": "#888888",
    "distil": "#0a84d6",
    "alone": "#e07b00",
    "kd": "#2e9e5b",
}
# Stands for the color of the page's text until the SVG is written.
_INK = "#123456"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "keras_ft",
    "font.size": 11,
    "font.family": "sans-serif",
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.titlesize": 11,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "legend.frameon": False,
}
TERMS = {
    "task_loss": "Phase 2: the term of the labels.",
    "factor_loss": "Phase 2: the term of the factors, before beta.",
    "regularization_loss": "Phase 2: the student's own regularizers.",
}

Rows = list[dict[str, float]]
Points = list[tuple[float, float]]


def accuracy(lines: Mapping[str, tuple[str, Rows]]) -> dict[str, str]:
    """Validation accuracy of every network trained in the run.

    Args:
        lines: For each name its phase and its rows.

    Returns:
        `title`, `text` and `svg`.
    """
    drawn = [
        (name, COLOURS[phase], _points(rows, "val_accuracy", 100))
        for name, (phase, rows) in lines.items()
    ]
    return {
        "title": "Validation accuracy",
        "text": "In percent, on images kept out of training.",
        "svg": _plot(drawn),
    }


def terms(rows: Rows) -> list[dict[str, str]]:
    """Every term of the student's loss that is not 0 throughout."""
    return [
        {"title": name, "text": text, "svg": _pair(rows, name)}
        for name, text in TERMS.items()
        if any(row.get(name) for row in rows)
    ]


def reconstruction(rows: Rows) -> dict[str, str]:
    """The paraphraser's error."""
    return {
        "title": "Phase 1: reconstruction",
        "text": "Mean error of the paraphraser on the teacher's features.",
        "svg": _pair(rows, "loss"),
    }


def _pair(rows: Rows, name: str) -> str:
    return _plot(
        [
            ("training", "#0a84d6", _points(rows, name)),
            ("validation", "#e07b00", _points(rows, f"val_{name}")),
        ],
        from_zero=True,
    )


def _points(rows: Rows, name: str, scale: float = 1) -> Points:
    return [(row["epoch"], scale * row[name]) for row in rows if name in row]


def _plot(
    lines: Sequence[tuple[str, str, Points]], from_zero: bool = False
) -> str:
    """SVG of (label, color, points) lines over the epochs."""
    last = max(epoch for _, _, points in lines for epoch, _ in points)
    with paper() as (figure, axes):
        for label, color, points in lines:
            if points:
                axes.plot(
                    *zip(*points, strict=True),
                    color=color,
                    label=label,
                    linewidth=2,
                    marker="o",
                    markersize=3 if last > 1 else 7,
                )
        axes.set_xlim(1 - 0.04 * last, last * 1.04)
        if from_zero:
            top = max(value for _, _, points in lines for _, value in points)
            axes.set_ylim(0, 1.1 * top or 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.legend(loc="best")
        return svg(figure)


def score_over_rate(
    points: Points, label: str, better: Callable[[float, float], float] = max
) -> str:
    """SVG of every trial's score, and of the best one at each rate.

    Args:
        points: (rate, score) of each trial.
        label: What the score is.
        better: `max` or `min`.
    """
    best: dict[float, float] = {}
    for rate, score in sorted(points):
        best[rate] = better(score, best.get(rate, score))
    with paper(3.6, width=7.2) as (figure, axes):
        axes.plot(list(best), list(best.values()), color="#0a84d6", linewidth=2)
        rates, scores = zip(*points, strict=True)
        axes.plot(rates, scores, "o", color="#0a84d6", markersize=5)
        # Rates are halved and doubled, so every step is as wide.
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_locator(FixedLocator(list(best)))
        axes.xaxis.set_major_formatter(lambda rate, _: f"{rate:g}")
        axes.xaxis.set_minor_locator(NullLocator())
        axes.set_xlabel("rate")
        axes.set_ylabel(label)
        return svg(figure)


@contextlib.contextmanager
def paper(
    height: float = 3.1, width: float = 5.2
) -> Iterator[tuple[Figure, Axes]]:
    """A figure and its axes in the style of the page; draw inside the block.

    Args:
        height, width: In inches.
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid(color=_INK, alpha=0.12)
        yield figure, axes


def svg(figure: Figure) -> str:
    """The figure as an SVG element that takes its ink from the page.

    Call it inside the block of `paper`, whose style it needs.
    """
    text = io.StringIO()
    # Without a date the same numbers give the same file.
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :].replace(_INK, "currentColor")
