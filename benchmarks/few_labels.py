"""Measure what the teacher is worth where labels are few.

    python benchmarks/few_labels.py --labels=500 --seeds=5
    python benchmarks/few_labels.py --labels=all --seeds=5
    python benchmarks/few_labels.py --labels=500 --betas=20,100,500 \\
        --seeds=3 --first_seed=100
    python benchmarks/few_labels.py --collect
    python benchmarks/few_labels.py --labels=500 --toy

The embedded images and their teacher, which saw none of them; a ResNet-8. Of
the 4,500 training images so many keep their label, the others are used
without. Runs `keras-ft compare` in a folder below `--work`, where a stopped
one goes on, and writes benchmarks/results/few_labels_<labels>.*.

--collect makes of all results the figures that the demo's report draws.
With --betas it compares weights of the factor term instead, by accuracy on
the 500 validation images, with other seeds than those of the results.
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
FIRST_SEED = flags.DEFINE_integer("first_seed", 0, "The first of them.")
METHODS = flags.DEFINE_string("methods", "none,kd,ft,ft+kd", "To compare.")
BETAS = flags.DEFINE_list("betas", None, "Choose one of these, or auto.")
COLLECT = flags.DEFINE_boolean("collect", False, "Collect what there is.")
EXPORT = flags.DEFINE_boolean("export", True, "Measure int8 files.")

# As in `keras-ft demo`.
COMMAND = [
    *("compare", "--student=resnet8", "--schedule=linear", "--epochs=20"),
    "--paraphrase_steps=1000",
]
TOY = ["--train_examples=256", "--paraphrase_steps=2", "--epochs=1"]


def compare(name, methods, **more):
    """Run `keras-ft compare`; return what it found."""
    words = [*COMMAND, f"--methods={methods}", f"--seeds={SEEDS.value}"]
    words += [f"--{key}={value}" for key, value in more.items()]
    words.append(f"--seed={FIRST_SEED.value}")
    if LABELS.value != "all":
        words.append(f"--labelled_examples={LABELS.value}")
    if kept_runs.TOY.value:
        words = [w for w in words if "labelled_examples" not in w] + TOY
        words.append("--labelled_examples=64")
    _, found = compared.run(words, kept_runs.folder("few_labels") / name)
    return words, found


def main(_):
    if COLLECT.value:
        collect()
        return
    if BETAS.value:
        choose_beta()
        return
    words, found = compare(
        LABELS.value, METHODS.value, export=str(EXPORT.value).lower()
    )
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


def choose_beta():
    """Compare weights of the factor term on the validation images."""
    results, lines = {}, ["| beta | ft | ft+kd |", "|---|---|---|"]
    for beta in BETAS.value:
        _, found = compare(
            f"{LABELS.value}-beta{beta}", "ft,ft+kd", beta=beta, export="false"
        )
        results[beta] = found["trainings"]
        cells = [
            compared.spread(
                [t for t in found["trainings"] if t["method"] == method],
                "validation_last",
            )
            for method in ("ft", "ft+kd")
        ]
        lines.append(f"| {beta} | {' | '.join(cells)} |")
    text = (
        f"# Weight of the factor term: {LABELS.value} labels\n\n"
        f"{SEEDS.value} seeds from {FIRST_SEED.value} on; percent of the 500 "
        "validation images after the last epoch.\n\n" + "\n".join(lines) + "\n"
    )
    kept_runs.write(f"few_labels_{LABELS.value}_beta", results, text)


if __name__ == "__main__":
    app.run(main)
