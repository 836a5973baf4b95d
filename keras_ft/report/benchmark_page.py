"""Write the page of a benchmark of `.tflite` files, and its plots."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes

from keras_ft import artifacts
from keras_ft.report import pages
from keras_ft.report import plots

PAGE = "benchmark.html"

_COLORS = (*plots.COLORS, plots.GRAY)
# Files are told apart by shape as well as by color.
_MARKERS = "os^DvPX"


def write_benchmark(
    folder: artifacts.PathLike, benchmark: dict[str, Any]
) -> Path:
    """Write `benchmark.html`: the table and the Pareto plots.

    Args:
        folder: Where to; made if it is missing.
        benchmark: What `experiments.benchmark_files` returned.

    Returns:
        The path of the page, one HTML file without scripts or outside
        resources.

    Example:

    >>> found = experiments.benchmark_files(["a.tflite"])
    >>> write_benchmark("comparison", found)
    PosixPath('comparison/benchmark.html')
    """
    count = len(benchmark["files"])
    path = Path(folder) / PAGE
    content = {
        "title": f"Benchmark of {count} .tflite file{'s' * (count != 1)}",
        "benchmark": benchmark,
        "pareto_plots": pareto_plots(benchmark),
    }
    artifacts.write_text(path, pages.render("benchmark.html", content))
    return path


def pareto_plots(benchmark: dict[str, Any]) -> list[dict[str, str]]:
    """Plot accuracy over latency and over size.

    Args:
        benchmark: What `experiments.benchmark_files` returned.

    Returns:
        `title`, `text` and `svg` of each; nothing where fewer than two files
        have an accuracy.

    Example:

    >>> [plot["title"] for plot in pareto_plots(benchmark)]
    ['Accuracy and latency', 'Accuracy and size']
    """
    rows = [
        row
        for row in benchmark["files"]
        if row["accuracy"] is not None and row["latency"]
    ]
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


def pareto_front(points: plots.Points) -> list[tuple[float, float]]:
    """Return the points of which none other is left of and above.

    Args:
        points: (cost, value) of each.

    Returns:
        Those with more value than every cheaper one, the cheapest first.

    Example:

    >>> pareto_front([(1.0, 90.0), (2.0, 89.0), (3.0, 95.0)])
    [(1.0, 90.0), (3.0, 95.0)]
    """
    best: list[tuple[float, float]] = []
    for cost, value in sorted(points, key=lambda it: (it[0], -it[1])):
        if not best or value > best[-1][1]:
            best.append((cost, value))
    return best


def _plot(
    rows: Sequence[dict[str, Any]], costs: Sequence[float], unit: str
) -> str:
    values = [100 * row["accuracy"] for row in rows]
    with plots.styled_axes(3.6) as axes:
        for i, label in enumerate(_labels(rows)):
            color = _COLORS[i % len(_COLORS)]
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
        _draw_front(axes, pareto_front(list(zip(costs, values, strict=True))))
        axes.set_xlabel(unit)
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.18),
            ncols=2,
            fontsize=9,
        )
        return plots.svg(axes)


def _draw_front(axes: Axes, front: list[tuple[float, float]]) -> None:
    bottom, top = axes.get_ylim()
    first, (_, highest) = front[0][0], front[-1]
    # To the edges of the plot, so that a front of one file is seen, too.
    corners = [(first, bottom), *front, (axes.get_xlim()[1], highest)]
    axes.step(
        *zip(*corners, strict=True),
        where="post",
        color=plots.GRAY,
        linewidth=1.2,
        linestyle="--",
        zorder=0,
    )
    axes.set_ylim(bottom, top)


def _labels(rows: Sequence[dict[str, Any]]) -> list[str]:
    paths = [row["file"] for row in rows]
    names = [Path(path).name for path in paths]
    return names if len(set(names)) == len(names) else paths
