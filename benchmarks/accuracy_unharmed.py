"""Measure whether acceleration costs accuracy, in short trainings.

    python benchmarks/accuracy_unharmed.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/accuracy_unharmed.py --toy

Both phases of Factor Transfer on real CIFAR-10, the `official` recipe cut to
`--epochs` with learning rates falling linearly to 0. A seed decides initial
weights, order and augmentation, and is the same for every variant; each is
compared with the first one, Keras' own path in float32. Writes a JSON and a
Markdown file to benchmarks/results/.
"""

import statistics

import kept_runs
import keras
import training_task
from absl import flags

import keras_ft

SEEDS = flags.DEFINE_list("seeds", "0,1,2", "Seeds, at least two.")
EPOCHS = flags.DEFINE_integer("epochs", 3, "Phase 2.", lower_bound=1)
PHASE1_EPOCHS = flags.DEFINE_integer(
    "paraphrase_epochs", 1, "Phase 1.", lower_bound=1
)
PRECISIONS = flags.DEFINE_list(
    "precisions",
    None,
    "Of the accelerated student: float32, mixed_bfloat16. If left out, the "
    "former, and the latter where the processor gains from it.",
)


@flags.validator("seeds", "at least two, for a spread")
def _several(seeds):
    return len(seeds) > 1


GOAL = 0.3  # percentage points
BASELINE = ("none", "float32")


def measure(seed, acceleration, precision, paraphrase_epochs, epochs):
    """Return test accuracy and loss after each epoch of phase 2."""
    data = training_task.load_data(seed)
    teacher = training_task.load_teacher()
    training_task.use_precision(precision)
    keras.utils.set_random_seed(seed)
    steps = training_task.steps_per_epoch(data)
    recipe = keras_ft.Recipe.preset("official").short(paraphrase_epochs, epochs)
    paraphraser = recipe.paraphraser()
    phase1 = recipe.paraphraser_trainer(
        teacher, paraphraser, acceleration=acceleration
    )
    phase1.compile(recipe.paraphrase.optimizer(steps))
    training_task.fit(phase1, data, epochs=paraphrase_epochs)
    student = training_task.make_student(data)
    model = recipe.distiller(
        teacher, student, paraphraser, acceleration=acceleration
    )
    training_task.compiled(model, recipe.distill.optimizer(steps))
    clock = training_task.EpochClock(student, data.test)
    training_task.fit(model, data, epochs=epochs, callbacks=[clock])
    last = clock.epochs[-1]
    reached = last["test_accuracy"]
    return {
        "accelerated": model.accelerated,
        "test_images": data.sizes["test"],
        "epochs": clock.epochs,
        "test_accuracy": reached,
        "says": f"{reached:.2%} in {last['seconds']:.0f} s of phase 2",
    }


def summary(rows):
    """Return each variant's mean, spread and difference, in points."""
    found = []
    plain = [100 * run["test_accuracy"] for run in rows[0]["runs"]]
    spread = max(plain) - min(plain)
    for row in rows:
        mine = [100 * run["test_accuracy"] for run in row["runs"]]
        pairs = [a - b for a, b in zip(mine, plain, strict=True)]
        difference = statistics.mean(pairs)
        found.append(
            {
                **row,
                "mean": statistics.mean(mine),
                "deviation": statistics.stdev(mine),
                "spread": max(mine) - min(mine),
                "difference": difference,
                "difference_deviation": statistics.stdev(pairs),
                "within_goal": abs(difference) <= GOAL,
                "within_spread": abs(difference) <= spread,
            }
        )
    return found


def table(results):
    seeds = results["seeds"]
    first = results["variants"][0]["runs"][0]
    lines = [
        "# Accuracy with and without acceleration\n",
        f"Factor Transfer on {results['data']}: "
        f"{results['paraphrase_epochs']} epochs of phase 1, "
        f"{results['epochs']} of phase 2; a short run, not the paper's "
        f"setting. Accuracy on {first['test_images']:,} test images in per "
        f"cent, seeds {', '.join(map(str, seeds))}. The difference is the mean "
        "over the seeds of a variant's accuracy minus the first row's with the "
        "same seed; ± is a standard deviation over the seeds. Goal: a "
        f"difference of at most {GOAL} points, or within the seed spread of "
        "the first row.\n",
        f"| acceleration | student | {' | '.join(f'seed {s}' for s in seeds)} "
        "| mean | seed spread | difference | goal |",
        "|---" * (len(seeds) + 6) + "|",
    ]
    for row in results["variants"]:
        single = (f"{100 * run['test_accuracy']:.2f}" for run in row["runs"])
        lines.append(
            f"| {row['acceleration']} | {row['precision']} "
            f"| {' | '.join(single)} "
            f"| {row['mean']:.2f} ± {row['deviation']:.2f} "
            f"| {row['spread']:.2f} | {_difference(row)} |"
        )
    lines.append("")
    for row in results["variants"][1:]:
        done = row["runs"][0]["accelerated"]
        lines.append(
            f"- {row['acceleration']}, {row['precision']}: teacher, "
            f"{done['teacher']}; student, {done['student']}."
        )
    return "\n".join(lines) + "\n"


def _difference(row):
    if (row["acceleration"], row["precision"]) == BASELINE:
        return "- | -"
    goal = "yes" if row["within_goal"] else "no"
    if not row["within_goal"] and row["within_spread"]:
        goal = "within the spread"
    return (
        f"{row['difference']:+.2f} ± {row['difference_deviation']:.2f} | {goal}"
    )


def benchmark():
    known = ("float32", training_task.chosen_precision())
    precisions = PRECISIONS.value or list(dict.fromkeys(known))
    seeds = [int(seed) for seed in SEEDS.value]
    lengths = {
        "paraphrase_epochs": PHASE1_EPOCHS.value,
        "epochs": EPOCHS.value,
    }
    runs = kept_runs.KeptRuns("accuracy_unharmed", training_task.settings())
    variants = [BASELINE, *(("auto", precision) for precision in precisions)]
    found = {variant: [] for variant in variants}
    # Seed by seed, so that a benchmark that was stopped has whole pairs.
    for seed in seeds:
        for variant in variants:
            keys = dict(
                zip(("acceleration", "precision"), variant, strict=True)
            )
            found[variant].append(runs.get(seed=seed, **keys, **lengths))
    rows = [
        {"acceleration": a, "precision": p, "runs": found[a, p]}
        for a, p in variants
    ]
    results = {
        "data": training_task.data_name(),
        "seeds": seeds,
        **lengths,
        "variants": summary(rows),
    }
    kept_runs.write("accuracy_unharmed", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
