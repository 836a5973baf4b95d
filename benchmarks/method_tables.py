"""The README's comparisons of methods and its sweep over the rate.

    python benchmarks/method_tables.py --task=fashion_mini
    python benchmarks/method_tables.py --task=cifar10 --data_dir=DIR \\
        --teacher=FILE.npz
    python benchmarks/method_tables.py --task=rates
    python benchmarks/method_tables.py --task=rates_sum
    python benchmarks/method_tables.py --task=fashion_mini --toy

Runs `keras-ft compare` or `keras-ft tune` in a folder below `--work`, where a
stopped one goes on, and writes what it found as JSON and Markdown to
benchmarks/results/. They are short runs: the student learns for 20 epochs of
4,500 images, 4 of 45,000, and 6 of 4,500.
"""

import subprocess
from pathlib import Path

import compared
import kept_runs
from absl import app
from absl import flags

TASK = flags.DEFINE_enum(
    "task",
    "fashion_mini",
    ["fashion_mini", "cifar10", "rates", "rates_sum"],
    "Which one.",
)
DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet-56 arrays (.npz).")

SHORT = ["--schedule=linear", "--seeds=3"]
RATES = ["tune", "--student=resnet8", "--paraphrase_epochs=2", "--epochs=6"]
COMMANDS = {
    "fashion_mini": [
        *("compare", "--student=resnet8", *SHORT),
        *("--paraphrase_epochs=10", "--epochs=20"),
    ],
    "cifar10": [
        *("compare", "--dataset=cifar10", "--student=resnet20", *SHORT),
        *("--methods=none,kd,ft,ft+kd", "--paraphrase_epochs=2", "--epochs=4"),
    ],
    "rates": RATES,
    # 500 over the 7x7x32 entries of rate 0.5's factor: as hard as the mean's.
    "rates_sum": [*RATES, "--reduction=sum", "--betas=0.32"],
}
# Of the results, and of what the command leaves.
NAMES = {
    "compare": ("methods", "comparison.json"),
    "tune": ("sweep", "trials.json"),
}
TOY = ["--train_examples=256", "--paraphrase_epochs=1", "--epochs=1"]


def main(_):
    task = TASK.value
    words = list(COMMANDS[task])
    if kept_runs.TOY.value:
        words += TOY
    shown, where = words, []
    if task == "cifar10":
        where = [f"--data_dir={DATA_DIR.value}", f"--teacher={TEACHER.value}"]
        shown = [*words, f"--teacher={Path(TEACHER.value).name}"]
    name, file = NAMES[words[0]]
    run_dir = kept_runs.folder("method_tables") / task
    done, found = compared.run(
        [*words, *where], run_dir, file, stdout=subprocess.PIPE, text=True
    )
    text = (
        f"# Short run: {task}\n\n`keras-ft {' '.join(shown)}` says:\n\n"
        f"```\n{last_words(done.stdout)}\n```\n{times(found)}"
    )
    kept_runs.write(f"{name}_{task}", {"words": words, **found}, text)


def last_words(printed):
    """Return what the command ends with: tables, then where the files are."""
    *_, said = printed.partition("\n\n")
    lines = said.strip().splitlines()
    return "\n".join(lines[:-1])


def times(found):
    """Return the times of a comparison; a search tells its own."""
    if "about" not in found:
        return ""
    about = found["about"]
    return (
        "\nMeans over the seeds, accuracies on "
        f"{about['test_examples']:,} test images; the teacher's is "
        f"{about['teacher_accuracy']:.2%}. The teacher's pass for all seeds "
        f"took {about['teacher_pass_seconds']:.0f} s, and everything "
        f"{about['seconds']:.0f} s.\n"
    )


if __name__ == "__main__":
    app.run(main)
