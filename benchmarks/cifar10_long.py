"""CIFAR-10 for thirty epochs: a trained ResNet-56 teaches a ResNet-20.

    python benchmarks/cifar10_long.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/cifar10_long.py --data_dir=DIR --teacher=FILE.npz \\
        --labels=1000
    python benchmarks/cifar10_long.py --toy

Plain training, KD, FT and FT+KD with three seeds; with --labels so many
training images keep their label and the others are used without. Runs
`keras-ft compare` seed by seed in a folder below `--work`, from one pass of
the teacher for each, and writes what is finished after every seed to
benchmarks/results/cifar10_long*. Stopped anywhere, the same command goes on
after the last complete epoch. --toy takes a few embedded images.
"""

import statistics
from pathlib import Path

import compared
import kept_runs
from absl import app
from absl import flags

DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet-56 arrays (.npz).")
LABELS = flags.DEFINE_integer("labels", None, "How many; by default all.")
SEEDS = flags.DEFINE_integer("seeds", 3, "Trainings of each method.")
EPOCHS = flags.DEFINE_integer("epochs", 30, "For each student.")
METHODS = flags.DEFINE_string("methods", "none,kd,ft,ft+kd", "To compare.")

COMMAND = ["compare", "--schedule=linear"]
CIFAR10 = ["--dataset=cifar10", "--student=resnet20"]
TOY = ["--student=resnet8", "--train_examples=256", "--paraphrase_steps=2"]


@flags.multi_flags_validator(
    ["data_dir", "teacher", "toy"], "Both are needed, or --toy."
)
def _has_data(values):
    return bool((values["data_dir"] and values["teacher"]) or values["toy"])


def main(_):
    words, where, shown = [*COMMAND, f"--methods={METHODS.value}"], [], []
    if kept_runs.TOY.value:
        words += [*TOY, "--epochs=1"]
    else:
        words += [*CIFAR10, f"--epochs={EPOCHS.value}"]
        where = [f"--data_dir={DATA_DIR.value}", f"--teacher={TEACHER.value}"]
        shown = [f"--teacher={Path(TEACHER.value).name}"]
    name = "cifar10_long"
    if LABELS.value:
        words.append(f"--labelled_examples={LABELS.value}")
        name += f"_labels{LABELS.value}"
    for seeds in range(1, SEEDS.value + 1):
        # The comparison grows: earlier seeds are taken from its folder.
        grown = [*words, f"--seeds={seeds}"]
        _, found = compared.run(
            [*grown, *where], kept_runs.folder("cifar10_long") / name
        )
        write(name, [*grown, *shown], found, seeds)


def write(name, words, found, seeds):
    """Write what so many seeds have found."""
    about = found["about"]
    columns = [("training, s", seconds), ("phase 1, s", paraphrase_seconds)]
    alone = ""
    if about["labelled_examples"] < about["train_examples"]:
        alone = (
            "Labels only (none) trains on the labelled images alone, in as "
            "many steps of as many images. "
        )
    verdicts = "".join(f"- {sentence}.\n" for sentence in found["verdicts"])
    text = (
        f"# {about['epochs']} epochs of {about['dataset']}, "
        f"{about['labelled_examples']:,} labels of "
        f"{about['train_examples']:,} images\n\n"
        f"`keras-ft {' '.join(words)}`: {seeds} of {SEEDS.value} seeds, means "
        "and standard deviations in percent of "
        f"{about['test_examples']:,} test images, int8 of the first 2,000; the "
        f"teacher has {about['teacher_accuracy']:.2%}. Differences are paired, "
        "in points, with their 95 % interval (Student's t over the seeds). "
        f"{alone}Seconds are means; the teacher's pass for all seeds took "
        f"{about['teacher_pass_seconds']:,.0f}, and everything "
        f"{about['seconds']:,.0f}.\n\n"
        f"{compared.table(found, columns)}\n{verdicts}"
    )
    kept_runs.write(name, {"words": words, **found}, text)


def seconds(trainings):
    return mean(trainings, "seconds")


def paraphrase_seconds(trainings):
    return mean(trainings, "paraphrase_seconds")


def mean(trainings, field):
    """Return the mean of whole numbers."""
    known = [t[field] for t in trainings if t[field] is not None]
    return f"{statistics.fmean(known):,.0f}" if known else "-"


if __name__ == "__main__":
    app.run(main)
