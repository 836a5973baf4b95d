"""Draw what the teacher is worth over the number of labels.

The figures are those of `benchmarks/few_labels.py`, which writes them here
with `--collect`: the demo's networks and images, trained with several seeds.
"""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.ticker import FuncFormatter
from matplotlib.ticker import NullLocator

from keras_ft import artifacts
from keras_ft.methods import parse
from keras_ft.report import plots

FILE = Path(__file__).with_name("few_labels.json")


@dataclasses.dataclass(frozen=True)
class Measured:
    """Hold accuracies over labels, and the setting they belong to.

    Attributes:
        setting: `dataset`, `teacher`, `student` and `epochs` of the runs.
        methods: By name, a row per number of labels: `labels`, `mean` and
            `deviation` of the test accuracy (0 to 1), `seeds`.
        gains: By name, a row per number of labels: `labels`, and over labels
            only (`plain`) and over `kd` the paired difference in points,
            `mean`, `low` and `high` of its 95 % interval.
    """

    setting: Mapping[str, str]
    methods: Mapping[str, list[dict[str, Any]]]
    gains: Mapping[str, list[dict[str, Any]]]

    @classmethod
    def of(cls, configuration: Mapping[str, Any]) -> "Measured | None":
        """Return the committed figures if they are of a run's setting."""
        content = artifacts.read_json(FILE)
        own = {
            **configuration,
            "epochs": configuration["recipe"]["distill"]["epochs"],
        }
        setting = content["setting"]
        if any(own.get(name) != value for name, value in setting.items()):
            return None
        return cls(setting, content["methods"], content["gains"])

    @property
    def counts(self) -> list[int]:
        """Return the numbers of labels that were measured."""
        rows = [row for rows in self.methods.values() for row in rows]
        return sorted({row["labels"] for row in rows})

    def gain(self, method: str, labels: int) -> str | None:
        """Return what the seeds say of a method, if they were measured."""
        known = zip(
            self.methods.get(method, []),
            self.gains.get(method, []),
            strict=True,
        )
        for row, over in known:
            if row["labels"] == labels and over["plain"] is not None:
                said = (
                    f"Over {row['seeds']} seeds the gain is "
                    f"{_interval(over['plain'])}"
                )
                if over["kd"] is not None:
                    said += f", and over KD {_interval(over['kd'])}"
                return f"{said}."
        return None

    def picture(self, own: Mapping[str, tuple[int, float]]) -> str:
        """Return the SVG of accuracy over labels, a line per method.

        Args:
            own: By method, labels and accuracy (0 to 1) of a run, drawn as
                stars.
        """
        with plots.styled_axes(height=3.6, width=7.2) as axes:
            for (name, rows), color in zip(
                self.methods.items(),
                (plots.GRAY, *plots.COLORS),
                strict=False,
            ):
                axes.errorbar(
                    [row["labels"] for row in rows],
                    [100 * row["mean"] for row in rows],
                    yerr=[100 * row["deviation"] for row in rows],
                    color=color,
                    label=_title(name),
                    linewidth=2,
                    marker="o",
                    markersize=4,
                    capsize=3,
                )
                if name in own:
                    labels, accuracy = own[name]
                    axes.plot(
                        [labels],
                        [100 * accuracy],
                        color=color,
                        marker="*",
                        markersize=13,
                        linestyle="none",
                    )
            axes.set_xscale("log")
            axes.set_xticks(self.counts)
            axes.xaxis.set_minor_locator(NullLocator())
            axes.xaxis.set_major_formatter(
                FuncFormatter(lambda count, _: f"{count:,.0f}")
            )
            axes.set_xlabel("labelled training images")
            axes.set_ylabel("test accuracy, %")
            axes.legend(loc="lower right")
            return plots.svg(axes)


def _title(method: str) -> str:
    return "labels only" if method == "none" else parse(method).title


def _interval(difference: Mapping[str, float]) -> str:
    low, high = difference["low"], difference["high"]
    return (
        f"{difference['mean']:+.1f} points (95 % interval {low:+.1f} to "
        f"{high:+.1f})"
    )
