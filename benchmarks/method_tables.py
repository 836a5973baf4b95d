"""The README's comparisons of methods and its sweep over the rate.

    python benchmarks/method_tables.py --task=fashion_mini
    python benchmarks/method_tables.py --task=cifar10 --data_dir=DIR \\
        --teacher=FILE.npz
    python benchmarks/method_tables.py --task=rates
    python benchmarks/method_tables.py --task=fashion_mini --toy

Runs `keras-ft compare` or `keras-ft tune` in a folder below `--work`, where a
stopped one goes on, and writes what it found as JSON and Markdown to
benchmarks/results/. They are short runs: the student learns for 20 epochs of
4,500 images, 4 of 45,000, and 6 of 4,500.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import kept_runs
from absl import app
from absl import flags

TASK = flags.DEFINE_enum(
    "task", "fashion_mini", ["fashion_mini", "cifar10", "rates"], "Which one."
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet-56 arrays (.npz).")

SHORT = ["--schedule=linear", "--seeds=3"]
COMMANDS = {
    "fashion_mini": [
        *("compare", "--student=resnet8", *SHORT),
        *("--paraphrase_epochs=10", "--epochs=20"),
    ],
    "cifar10": [
        *("compare", "--dataset=cifar10", "--student=resnet20", *SHORT),
        *("--methods=none,kd,ft,ft+kd", "--paraphrase_epochs=2", "--epochs=4"),
    ],
    "rates": [
        *("tune", "--student=resnet8", "--paraphrase_epochs=2", "--epochs=6"),
    ],
}
TOY = ["--train_examples=256", "--paraphrase_epochs=1", "--epochs=1"]


def main(_):
    task = TASK.value
    words = list(COMMANDS[task])
    if kept_runs.TOY.value:
        words += TOY
    where = []
    if task == "cifar10":
        where = [f"--data_dir={DATA_DIR.value}", f"--teacher={TEACHER.value}"]
    run_dir = kept_runs.folder("method_tables") / task
    run_dir.parent.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [sys.executable, "-m", "keras_ft", *words, *where]
        + [f"--run_dir={run_dir}"],
        env={**os.environ, **kept_runs.OF_A_RUN},
        check=True,
    )
    write = swept if task == "rates" else compared
    results, lines = write(run_dir)
    shown = words + [f"--teacher={Path(TEACHER.value).name}"] * bool(where)
    command = f"`keras-ft {' '.join(shown)}`"
    text = "\n".join([f"# Short run: {task}", "", f"{command}:", "", *lines])
    kept_runs.write(
        f"methods_{task}" if task != "rates" else "rates_fashion_mini",
        {"words": words, **results},
        text + "\n",
    )


def compared(run_dir):
    """What a comparison found, as a table of Markdown."""
    found = json.loads((run_dir / "comparison.json").read_text("utf-8"))
    about = found["about"]
    lines = [
        "| method | test accuracy, % | over plain, 95 % interval | "
        "training, s | int8, % |",
        "|---|---|---|---|---|",
    ]
    for method in found["methods"]:
        phase1 = method["paraphrase_seconds_mean"]
        cells = [
            method["title"],
            f"{percent(method['accuracy_mean'])} ± "
            f"{percent(method['accuracy_deviation'])}",
            interval(method["over_plain"]),
            f"{method['seconds_mean']:.0f}"
            + (f" + {phase1:.0f}" if phase1 is not None else ""),
            percent(method["int8_accuracy_mean"])
            + (
                f" ({method['int8_seeds']} of {method['seeds']})"
                if method["int8_seeds"] < method["seeds"]
                else ""
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    lines += [
        "",
        f"Test accuracy on {about['test_examples']:,} images, mean and "
        "standard deviation over the seeds; the teacher's is "
        f"{percent(about['teacher_accuracy'])} %. Seconds are the student's "
        "training, and phase 1 after the +; the teacher's pass for all seeds "
        f"took {about['teacher_pass_seconds']:.0f} s, and everything "
        f"{about['seconds']:.0f} s.",
        "",
        *(f"- {verdict}" for verdict in found["verdicts"]),
    ]
    return found, lines


def interval(over):
    if over is None or over["low"] is None:
        return ""
    return f"{over['mean']:+.1f} [{over['low']:.1f}, {over['high']:.1f}]"


def percent(share):
    return "–" if share is None else f"{100 * share:.2f}"


def swept(run_dir):
    """What a sweep found, as a table of Markdown."""
    found = json.loads((run_dir / "trials.json").read_text("utf-8"))
    assert {t["status"] for t in found["trials"]} == {"COMPLETED"}, found
    lines = ["| rate | validation accuracy, % | phase 2, s |", "|---|---|---|"]
    lines += [
        f"| {trial['rate']:g} | {percent(trial['score'])} | "
        f"{trial['seconds']:.0f} |"
        for trial in found["trials"]
    ]
    return found, lines


if __name__ == "__main__":
    app.run(main)
