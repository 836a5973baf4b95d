"""The methods' means as cells, as text and as LaTeX."""

from collections.abc import Sequence
from typing import Any

from keras_ft.experiments.comparison.difference import Difference
from keras_ft.tables import text_table

_HEADS = (
    "method",
    "seeds",
    "test accuracy",
    "validation last",
    "best (epoch)",
    "over plain, 95 % CI",
    "seconds",
    "memory",
    "int8",
    "int8 size",
)
_LATEX_HEADS = (
    r"Method & Seeds & Test accuracy (\%) & Over plain (pt) & "
    r"Seconds & int8 (\%) & kB \\"
)


def cells(method: Any) -> dict[str, Any]:
    """Return the means of a `MethodResult` as plain numbers, by column."""
    return {
        "method": method.name,
        "title": method.title,
        "seeds": len(method.finished),
        "failed": len(method.trainings) - len(method.finished),
        "accuracy_mean": method.mean("accuracy"),
        "accuracy_deviation": method.deviation("accuracy"),
        "validation_last_mean": method.mean("validation_last"),
        "validation_best_mean": method.mean("validation_best"),
        "best_epoch_mean": method.mean("best_epoch"),
        "seconds_mean": method.mean("seconds"),
        "paraphrase_seconds_mean": method.mean("paraphrase_seconds"),
        "variance_kept_mean": method.mean("variance_kept"),
        "memory_bytes_mean": method.mean("memory_bytes"),
        "parameters": method.mean("parameters"),
        "int8_seeds": method.count("int8_accuracy"),
        "int8_accuracy_mean": method.mean("int8_accuracy"),
        "int8_bytes_mean": method.mean("int8_bytes"),
    }


def text(methods: Sequence[Any]) -> str:
    """Return aligned lines: a head, and one per `MethodResult`."""
    rows = [_HEADS, *(_row(method) for method in methods)]
    return "\n".join(text_table(rows))


def _row(method: Any) -> tuple[str, ...]:
    best = percent(method.mean("validation_best"))
    epoch = method.mean("best_epoch")
    return (
        method.title,
        f"{len(method.finished)} of {len(method.trainings)}",
        _with_deviation(method, " ± "),
        percent(method.mean("validation_last")),
        best if epoch is None else f"{best} ({epoch:.0f})",
        _over(method.over_plain),
        _seconds(method),
        number(method.mean("memory_bytes"), 1e-6, " MB"),
        _int8(method),
        number(method.mean("int8_bytes"), 1e-3, " kB"),
    )


def latex(methods: Sequence[Any]) -> str:
    """Return a `tabular` for the package booktabs."""
    lines = [
        "% needs \\usepackage{booktabs}",
        "% seconds: of the student's training + of phase 1; the teacher's pass",
        "% over the images is in neither",
        r"\begin{tabular}{lrrrrrr}",
        r"\toprule",
        _LATEX_HEADS,
        r"\midrule",
    ]
    for method in methods:
        accuracy = _with_deviation(method, r" \pm ", "")
        row = (
            method.title,
            str(len(method.finished)),
            f"${accuracy}$",
            _over(method.over_plain, latex=True),
            _seconds(method),
            _int8(method, ""),
            number(method.mean("int8_bytes"), 1e-3),
        )
        lines.append(" & ".join(row) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", ""])


def _with_deviation(method: Any, sign: str, unit: str = " %") -> str:
    mean, deviation = method.mean("accuracy"), method.deviation("accuracy")
    if mean is None:
        return "-"
    spread = "" if deviation is None else f"{sign}{100 * deviation:.2f}"
    return f"{100 * mean:.2f}{spread}{unit}"


def _seconds(method: Any) -> str:
    """Return seconds of the student's training + phase 1 where there is one."""
    phase_1 = method.mean("paraphrase_seconds")
    more = "" if phase_1 is None else f" + {number(phase_1)}"
    return number(method.mean("seconds")) + more


def _int8(method: Any, unit: str = " %") -> str:
    """Return the mean, and of how many seeds where files were refused."""
    have, seeds = method.count("int8_accuracy"), len(method.finished)
    share = f" ({have} of {seeds})" if 0 < have < seeds else ""
    return percent(method.mean("int8_accuracy"), unit) + share


def _over(difference: Difference | None, latex: bool = False) -> str:
    if difference is None:
        return "-"
    told = str(difference).replace(" pt, 95 % CI", "").replace(" pt", "")
    return f"${told}$" if latex else told


def percent(share: float | None, unit: str = " %") -> str:
    """Return 0.8412 as '84.12 %', nothing as '-'."""
    return "-" if share is None else f"{100 * share:.2f}{unit}"


def number(value: float | None, scale: float = 1.0, unit: str = "") -> str:
    """Return 1234.5 as '1,234', nothing as '-'."""
    return "-" if value is None else f"{scale * value:,.0f}{unit}"
