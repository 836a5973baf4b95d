"""Run a command of keras-ft for a benchmark, and word what it compared."""

import json
import os
import statistics
import subprocess
import sys

import kept_runs


def run(words, run_dir, file="comparison.json", **options):
    """Run `keras-ft` with these words; a stopped run goes on.

    Args:
        words: The command and its flags, without --run_dir.
        run_dir: Its run folder.
        file: What it leaves there, JSON.
        **options: Of `subprocess.run`.

    Returns:
        The finished process, and the file's content.
    """
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "keras_ft", *words, f"--run_dir={run_dir}"],
        env={**os.environ, **kept_runs.OF_A_RUN},
        check=True,
        **options,
    )
    return done, json.loads((run_dir / file).read_text("utf-8"))


def table(found, columns=()):
    """Return a comparison's methods as Markdown.

    Args:
        found: The content of comparison.json.
        columns: Further columns: titles, and functions of a method's
            trainings.
    """
    titles = ["method", "test accuracy", "int8", "over labels only", "over KD"]
    titles += [title for title, _ in columns]
    lines = [f"| {' | '.join(titles)} |", "|---" * len(titles) + "|"]
    for method in found["methods"]:
        ours = [
            t for t in found["trainings"] if t["method"] == method["method"]
        ]
        cells = [
            method["method"],
            spread(ours, "accuracy"),
            spread(ours, "int8_accuracy"),
            interval(method["over_plain"]),
            interval(method["over_kd"]),
            *(cell(ours) for _, cell in columns),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def spread(trainings, field):
    """Return mean and deviation of an accuracy, in percent."""
    values = [100 * t[field] for t in trainings if t[field] is not None]
    if not values:
        return "-"
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if values[1:] else mean


def interval(difference):
    """Return a difference with its interval, in points."""
    if difference is None:
        return "-"
    text = f"{difference['mean']:+.2f}"
    if difference["low"] is not None:
        text += f" [{difference['low']:+.2f}, {difference['high']:+.2f}]"
    return text
