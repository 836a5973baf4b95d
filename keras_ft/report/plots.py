"""Draw plots as inline SVG that takes its ink from the page."""

import contextlib
import io
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

# Legible on white and on black alike; gray is for what others are compared to.
COLORS = (
    "#0a84d6",
    "#e07b00",
    "#2e9e5b",
    "#b455c9",
    "#d64545",
    "#00979d",
    "#9a8500",
)
GRAY = "#888888"
# Stands for the color of the page's text until the SVG is written.
_INK = "#123456"
_STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    # A name with a dollar sign is a name, and no formula.
    "text.parse_math": False,
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

Rows = Sequence[dict[str, float]]
Points = Sequence[tuple[float, float]]


@contextlib.contextmanager
def styled_axes(height: float = 3.1, width: float = 5.2) -> Iterator[Axes]:
    """Yield axes in the style of the page; draw inside the block.

    Args:
        height, width: In inches.

    Example:

    >>> with styled_axes() as axes:
    ...     axes.plot([1, 2], [3, 4])
    ...     drawn = svg(axes)
    """
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        figure.patch.set_alpha(0)
        axes = figure.add_subplot()
        axes.patch.set_alpha(0)
        axes.grid(color=_INK, alpha=0.12)
        yield axes


def svg(axes: Axes) -> str:
    """Return axes as an SVG element; call it inside their block."""
    figure, text = axes.figure, io.StringIO()
    assert isinstance(figure, Figure)
    # Without a date the same numbers give the same file.
    figure.savefig(text, format="svg", metadata={"Date": None})
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :].replace(_INK, "currentColor")


def points(rows: Rows, name: str, scale: float = 1) -> Points:
    """Return (epoch, value) of one column of a history."""
    return [(row["epoch"], scale * row[name]) for row in rows if name in row]


def over_epochs(
    lines: Sequence[tuple[str, str, Points]], from_zero: bool = False
) -> str:
    """Return the SVG of (label, color, points) lines over the epochs."""
    lines = [line for line in lines if line[2]]
    last = max(epoch for _, _, drawn in lines for epoch, _ in drawn)
    with styled_axes() as axes:
        for label, color, drawn in lines:
            axes.plot(
                *zip(*drawn, strict=True),
                color=color,
                label=label,
                linewidth=2,
                marker="o",
                markersize=3 if last > 1 else 7,
            )
        axes.set_xlim(1 - 0.04 * last, last * 1.04)
        if from_zero:
            top = max(value for _, _, drawn in lines for _, value in drawn)
            axes.set_ylim(0, 1.1 * top or 1)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        axes.set_xlabel("epoch")
        axes.legend(loc="best")
        return svg(axes)
