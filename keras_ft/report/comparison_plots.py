"""Pictures of a comparison: who gains, how seeds spread, who learns fast."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from keras_ft.report.curves import Rows
from keras_ft.report.curves import paper
from keras_ft.report.curves import svg

# Legible on white and on black alike; grey is plain training's.
_PALETTE = (
    "#0a84d6",
    "#e07b00",
    "#2e9e5b",
    "#b455c9",
    "#d64545",
    "#00979d",
    "#9a8500",
)
_PLAIN = "#888888"
_INCHES_PER_METHOD = 0.42

Content = Mapping[str, Any]


def gains(methods: Sequence[Content]) -> dict[str, str] | None:
    """Difference to plain training with its interval, per method.

    Args:
        methods: As `comparison.json` lists them.

    Returns:
        `title`, `text` and `svg`; `None` where nothing can be compared.
    """
    shown = [m for m in methods if m["over_plain"] is not None]
    if not shown:
        return None
    with paper(_height(shown)) as (figure, axes):
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
        drawn = svg(figure)
    return {
        "title": "Over plain training",
        "text": "Mean difference of the test accuracies and its 95 % "
        "interval. One that reaches over 0 shows nothing.",
        "svg": drawn,
    }


def seeds(
    methods: Sequence[Content], trainings: Sequence[Content]
) -> dict[str, str] | None:
    """Test accuracy of every training, per method."""
    finished = [t for t in trainings if t["accuracy"] is not None]
    if not finished:
        return None
    with paper(_height(methods)) as (figure, axes):
        for place, method in enumerate(methods):
            values = [
                100 * t["accuracy"]
                for t in finished
                if t["method"] == method["method"]
            ]
            color = _colors(methods)[method["method"]]
            places = [place] * len(values)
            axes.plot(values, places, "o", color=color, alpha=0.6)
        _name_rows(axes, methods)
        axes.set_xlabel("percent")
        drawn = svg(figure)
    return {
        "title": "Test accuracy",
        "text": "After the last epoch; one dot per seed.",
        "svg": drawn,
    }


def learning(
    methods: Sequence[Content], rows: Mapping[str, Sequence[Rows]]
) -> dict[str, str] | None:
    """Validation accuracy over the epochs, the mean of all seeds.

    Args:
        methods: As `comparison.json` lists them.
        rows: For each method the histories of its trainings.
    """
    lines = {m["method"]: _mean(rows[m["method"]]) for m in methods}
    if not any(lines.values()):
        return None
    with paper() as (figure, axes):
        for method in methods:
            line = lines[method["method"]]
            if line:
                axes.plot(
                    range(1, len(line) + 1),
                    line,
                    color=_colors(methods)[method["method"]],
                    label=method["title"],
                    linewidth=2,
                    marker="o" if len(line) < 10 else None,
                    markersize=4,
                )
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.legend(loc="best", fontsize=9)
        drawn = svg(figure)
    return {
        "title": "Validation accuracy",
        "text": "In percent, mean of the seeds.",
        "svg": drawn,
    }


def _mean(histories: Sequence[Rows]) -> list[float]:
    """Over the epochs that all have."""
    whole = [
        [100 * row["val_accuracy"] for row in history if "val_accuracy" in row]
        for history in histories
        if history
    ]
    columns = zip(*whole, strict=False)
    return [sum(column) / len(column) for column in columns]


def _colors(methods: Sequence[Content]) -> dict[str, str]:
    others = [m["method"] for m in methods if m["method"] != "none"]
    colors = {
        name: _PALETTE[place % len(_PALETTE)]
        for place, name in enumerate(others)
    }
    return {"none": _PLAIN, **colors}


def _name_rows(axes: Axes, methods: Sequence[Content]) -> None:
    axes.set_yticks(range(len(methods)), [m["title"] for m in methods])
    axes.set_ylim(len(methods) - 0.5, -0.5)


def _height(methods: Sequence[Content]) -> float:
    return 0.9 + _INCHES_PER_METHOD * len(methods)
