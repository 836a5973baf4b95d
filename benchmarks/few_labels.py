"""Measure what the teacher is worth where labels are few.

    python benchmarks/few_labels.py --labels=500 --seeds=5
    python benchmarks/few_labels.py --labels=all --seeds=5
    python benchmarks/few_labels.py --collect
    python benchmarks/few_labels.py --labels=500 --toy

The embedded images and their teacher, which saw none of them; a ResNet-8. Of
the 4,500 training images so many keep their label, the others are used
without. Runs `keras-ft compare` in a folder below `--work`, where a stopped
one goes on, and writes benchmarks/results/few_labels_<labels>.*.

--collect makes of all results the figures that the demo's report draws. The
weight of the factor term was chosen by benchmarks/choose_beta.py.
"""

import json
import statistics

import compared
import kept_runs
from absl import app
from absl import flags

from keras_ft import artifacts
from keras_ft.report import few_labels

LABELS = flags.DEFINE_string("labels", "500", "How many, or all.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Trainings of each method.")
METHODS = flags.DEFINE_string("methods", "none,kd,ft,ft+kd", "To compare.")
COLLECT = flags.DEFINE_boolean("collect", False, "Collect what there is.")
EXPORT = flags.DEFINE_boolean("export", True, "Measure int8 files.")

# As in `keras-ft demo`.
COMMAND = [
    *("compare", "--student=resnet8", "--schedule=linear", "--epochs=20"),
    "--paraphrase_steps=1000",
]
TOY = [
    *("--train_examples=256", "--labelled_examples=64"),
    *("--paraphrase_steps=2", "--epochs=1"),
]


def compare():
    """Run `keras-ft compare`; return its words, and what it found."""
    words = [*COMMAND, f"--methods={METHODS.value}", f"--seeds={SEEDS.value}"]
    words.append(f"--export={str(EXPORT.value).lower()}")
    if kept_runs.TOY.value:
        words += TOY
    elif LABELS.value != "all":
        words.append(f"--labelled_examples={LABELS.value}")
    _, found = compared.run(
        words, kept_runs.folder("few_labels") / LABELS.value
    )
    return words, found


def main(_):
    if COLLECT.value:
        collect()
        return
    words, found = compare()
    about = found["about"]
    text = (
        f"# Few labels: {about['labelled_examples']:,} of "
        f"{about['train_examples']:,}\n\n`keras-ft {' '.join(words)}`: "
        f"{SEEDS.value} seeds, means and standard deviations in percent on "
        f"{about['test_examples']:,} test images; the teacher has "
        f"{about['teacher_accuracy']:.2%}. Differences are paired, in points, "
        "with their 95 % interval (Student's t over the seeds). Labels only "
        "(none) trains on the labelled images alone, in as many steps of as "
        "many images.\n\n" + compared.table(found)
    )
    kept_runs.write(
        f"few_labels_{LABELS.value}", {"words": words, **found}, text
    )


def collect():
    """Write keras_ft/report/few_labels.json."""
    found = {}
    for file in kept_runs.RESULTS.glob("few_labels_*.json"):
        content = json.loads(file.read_text("utf-8"))
        if "about" in content and not content["toy"]:
            found[content["about"]["labelled_examples"]] = content
    methods, gains = {}, {}
    for labels, content in sorted(found.items()):
        for row in content["methods"]:
            ours = [
                t["accuracy"]
                for t in content["trainings"]
                if t["method"] == row["method"]
            ]
            methods.setdefault(row["method"], []).append(
                {
                    "labels": labels,
                    "mean": statistics.fmean(ours),
                    "deviation": statistics.stdev(ours),
                    "seeds": len(ours),
                }
            )
            over = {
                name: row[f"over_{name}"] and interval_of(row[f"over_{name}"])
                for name in ("plain", "kd")
            }
            gains.setdefault(row["method"], []).append(
                {"labels": labels, **over}
            )
    about = next(iter(found.values()))["about"]
    names = ("dataset", "teacher", "student", "epochs")
    setting = {name: about[name] for name in names}
    artifacts.write_json(
        few_labels.FILE,
        {"setting": setting, "methods": methods, "gains": gains},
    )


def interval_of(difference):
    return {name: difference[name] for name in ("mean", "low", "high")}


if __name__ == "__main__":
    app.run(main)
