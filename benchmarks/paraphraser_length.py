"""Measure how good a paraphraser is after so many steps, and what they cost.

    python benchmarks/paraphraser_length.py
    python benchmarks/paraphraser_length.py --toy

Trains phase 1 of the demo, the official recipe with a learning rate that
falls to 0, for several lengths: with the teacher in every step, and on a few
views of its features. Error and share of the variance are those of the 500
validation images. CPU seconds are of all cores; those of a training have its
validation in them and not the teacher's pass over the views, which is told
apart. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import time

import kept_runs
import keras

import keras_ft
from keras_ft.experiments import networks

# Epochs of 36 steps, and views; None for the teacher in every step.
RUNS = (
    (10, None),
    (14, 4),
    (28, 4),
    (42, 4),
    (67, 1),
    (67, 2),
    (67, 4),
    (67, 8),
    (67, None),
)


def measure(epochs, views, train_examples):
    """Return what one training of a paraphraser comes to."""
    data = keras_ft.data.load(
        "fashion_mini",
        batch_size=128,
        validation_fraction=0.1,
        train_examples=train_examples,
    )
    teacher = networks.teacher("fashion_mini")
    batches = data
    began = time.process_time()
    if views is not None:
        cache = keras_ft.FeatureCache.build(
            None, teacher, data, views=views, echo=None
        )
        batches, teacher = cache, cache.teacher
    passed = time.process_time() - began
    recipe = keras_ft.Recipe.preset("official").scheduled(
        paraphrase_epochs=epochs, schedule="linear"
    )
    keras.utils.set_random_seed(0)
    phase1 = recipe.paraphraser_trainer(teacher, recipe.paraphraser())
    phase1.compile(recipe.paraphrase.optimizer(data.steps_per_epoch))
    began = time.process_time()
    history = phase1.fit(
        batches.train_from(0),
        epochs=epochs,
        steps_per_epoch=data.steps_per_epoch,
        validation_data=batches.validation,
        verbose=0,
    ).history
    kept = history["val_variance_kept"][-1]
    return {
        "steps": epochs * data.steps_per_epoch,
        "views": views,
        "error": history["val_loss"][-1],
        "variance_kept": kept,
        "training_cpu_seconds": time.process_time() - began,
        "pass_cpu_seconds": passed,
        "says": f"{kept:.1%} of the variance",
    }


def table(rows):
    lines = [
        "# How long to train a paraphraser\n",
        "Phase 1 of `keras-ft demo` (4,500 images, ResNet-20, rate 0.5), one "
        "seed; error and variance on 500 validation images.\n",
        "| steps | teacher | L1 error | variance kept | training, CPU s "
        "| its pass, CPU s |",
        "|---" * 6 + "|",
    ]
    for row in rows:
        views = row["views"]
        where = "in every step" if views is None else f"{views} views"
        lines.append(
            f"| {row['steps']:,} | {where} | {row['error']:.3f} "
            f"| {row['variance_kept']:.1%} "
            f"| {row['training_cpu_seconds']:.0f} "
            f"| {row['pass_cpu_seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def benchmark():
    toy = kept_runs.TOY.value
    runs = kept_runs.KeptRuns("paraphraser_length", {})
    rows = [
        runs.get(
            epochs=2 if toy else epochs,
            views=views,
            train_examples=256 if toy else None,
        )
        for epochs, views in (RUNS[:2] if toy else RUNS)
    ]
    kept_runs.write("paraphraser_length", {"rows": rows}, table(rows))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
