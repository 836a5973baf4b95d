"""What each `.tflite` file costs, and what it is good for, in two plots."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from keras_ft.report import curves

# Legible on white and on black alike, and told apart by shape as well.
_COLOURS = (
    "#0a84d6",
    "#e07b00",
    "#2e9e5b",
    "#c0362c",
    "#8a63d2",
    "#b5892b",
    "#d0549b",
    "#888888",
)
_MARKERS = "os^DvPX"

Point = tuple[float, float]


def plots(content: dict[str, Any]) -> list[dict[str, str]]:
    """Accuracy over latency and over size.

    Args:
        content: What `runs.compare` returned.

    Returns:
        `title`, `text` and `svg` of each; nothing where fewer than two files
        have an accuracy.

    Example:

    >>> [plot["title"] for plot in plots(content)]
    ['Accuracy and latency', 'Accuracy and size']
    """
    rows = [row for row in content["files"] if row["accuracy"] is not None]
    if len(rows) < 2:
        return []
    threads = rows[0]["latency"][0]["threads"]
    word = "thread" if threads == 1 else "threads"
    latency = [row["latency"][0]["median_ms"] for row in rows]
    size = [row["bytes"] / 1000 for row in rows]
    return [
        {
            "title": "Accuracy and latency",
            "text": "In percent of the test images, over milliseconds for one "
            "image. Up and to the left is better.",
            "svg": _plot(rows, latency, f"ms, {threads} {word}"),
        },
        {
            "title": "Accuracy and size",
            "text": "In percent of the test images, over the size of the file. "
            "Up and to the left is better.",
            "svg": _plot(rows, size, "kB"),
        },
    ]


def front(points: Sequence[Point]) -> list[Point]:
    """The points that no other one beats: none is left of and above them.

    Args:
        points: (cost, value) of each.

    Returns:
        Those with more value than every cheaper one, the cheapest first.

    Example:

    >>> front([(1.0, 90.0), (2.0, 89.0), (3.0, 95.0)])
    [(1.0, 90.0), (3.0, 95.0)]
    """
    best: list[Point] = []
    for cost, value in sorted(points, key=lambda it: (it[0], -it[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def _plot(
    rows: Sequence[dict[str, Any]], costs: Sequence[float], unit: str
) -> str:
    values = [100 * row["accuracy"] for row in rows]
    with curves.paper(3.6) as (figure, axes):
        for i, label in enumerate(_labels(rows)):
            color = _COLOURS[i % len(_COLOURS)]
            axes.plot(
                [costs[i]],
                [values[i]],
                color=color,
                marker=_MARKERS[i % len(_MARKERS)],
                markersize=9,
                markerfacecolor=color if rows[i]["pareto"] else "none",
                markeredgewidth=2,
                linestyle="none",
                label=label,
            )
        axes.set_xlim(0, 1.08 * max(costs))
        axes.margins(y=0.15)
        _draw_front(axes, front(list(zip(costs, values, strict=True))))
        axes.set_xlabel(unit)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=2,
            fontsize=9,
        )
        return curves.svg(figure)


def _draw_front(axes: Axes, points: list[Point]) -> None:
    bottom, top = axes.get_ylim()
    first, (_, highest) = points[0][0], points[-1]
    # To the edges of the plot, so that a front of one file is seen, too.
    points = [(first, bottom), *points, (axes.get_xlim()[1], highest)]
    axes.step(
        [cost for cost, _ in points],
        [value for _, value in points],
        where="post",
        color="#888888",
        linewidth=1.2,
        linestyle="--",
        zorder=0,
    )
    axes.set_ylim(bottom, top)


def _labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    paths = [row["file"] for row in rows]
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths
