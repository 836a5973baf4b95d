"""Measure what the input pipeline costs a training step.

    python benchmarks/input_pipeline.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/input_pipeline.py --toy

The same compiled step, fed by `keras_ft.data.load` (shuffled, padded, cropped,
flipped, normalized) and by one constant batch. The two take turns in blocks of
steps; the first steps of a block are not counted, because batches made ahead
in the block before would make them cheap, and refilling that store dear. Then
the pipeline alone, with nobody else on the processor. Writes a JSON and a
Markdown file to benchmarks/results/.
"""

import statistics
import time

import kept_runs
import keras
import numpy as np
import tensorflow as tf
import training_task
from absl import flags

import keras_ft

PAIRS = flags.DEFINE_integer("pairs", 20, "Pairs of blocks.", lower_bound=2)
BLOCK = flags.DEFINE_integer("block", 16, "Steps of a block that count.")
SETTLE = flags.DEFINE_integer("settle", 8, "Steps before, not counted.")
ALONE = flags.DEFINE_integer("alone", 782, "Batches of the pipeline alone.")
ACCELERATION = flags.DEFINE_enum(
    "acceleration", "auto", ["auto", "none"], "Of Factor Transfer."
)
PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "mixed_bfloat16"], "Of the student."
)

GOAL_RATIO, GOAL_ALONE = 1.03, 10
LABELS = {"plain": "Keras' fit", "ft": "Factor Transfer, online"}


def measure(kind, **settings):
    data = training_task.load_data(drop_remainder=True)
    if kind == "alone":
        return pipeline_alone(data, settings["batches"])
    return step_with(data, kind, **settings)


def pipeline_alone(data, batches):
    """Return images per second, and seconds of all cores together per batch."""
    stream = iter(data.train_from(0))
    size = len(next(stream)[1])
    start, computed = time.perf_counter(), time.process_time()
    for _ in range(batches):
        next(stream)
    wall = time.perf_counter() - start
    computed = time.process_time() - computed
    rate = batches * size / wall
    return {
        "images_per_second": rate,
        "processor_ms_per_batch": 1000 * computed / batches,
        "says": f"{rate:.0f} images/s",
    }


def step_with(data, kind, acceleration, precision, pairs, block, settle):
    """Return milliseconds of a step in every block, by what feeds it."""
    model = make_model(data, kind, acceleration, precision)
    batch = next(iter(data.train_from(0)))
    constant = tf.data.Dataset.from_tensors(batch).repeat()
    model.fit(constant, steps_per_epoch=2, verbose=0)
    streams = {"real": iter(data.train_from(0)), "constant": iter(constant)}
    times = {name: [] for name in streams}
    for number in range(pairs):
        # Whoever comes first in one pair comes second in the next.
        for name in sorted(streams, reverse=number % 2 == 0):
            run_steps(model, streams[name], settle)
            seconds = run_steps(model, streams[name], block)
            times[name].append(1000 * seconds / block)
    ratio = statistics.median(map(float.__truediv__, *times.values()))
    return {
        "batch": int(batch[1].shape[0]),
        "accelerated": getattr(model, "accelerated", None),
        **{f"{name}_ms": values for name, values in times.items()},
        "says": f"{ratio:.3f} of a step with a constant batch",
    }


def make_model(data, kind, acceleration, precision):
    keras.utils.set_random_seed(0)
    teacher = training_task.load_teacher()
    training_task.use_precision(precision)
    model = training_task.make_student(data)
    if kind == "ft":
        # Random weights take as long as trained ones.
        paraphraser = keras_ft.Paraphraser(rate=0.5)
        paraphraser.trained = True
        model = keras_ft.FactorTransfer(
            teacher, model, paraphraser, acceleration=acceleration
        )
    optimizer = keras_ft.CoupledSGD(0.01, momentum=0.9, weight_decay=5e-4)
    return training_task.compiled(model, optimizer)


def run_steps(model, stream, count):
    """Return seconds of so many steps, results waited for at the end."""
    start = time.perf_counter()
    for _ in range(count):
        logs = model.train_function(stream)
    float(logs["loss"])
    return time.perf_counter() - start


def summary(run, alone):
    real, constant = (np.array(run[f"{k}_ms"]) for k in ("real", "constant"))
    ratios = real / constant
    trained = run["batch"] / np.median(real) * 1000
    return {
        **run,
        "real_median_ms": float(np.median(real)),
        "real_minimum_ms": float(real.min()),
        "constant_median_ms": float(np.median(constant)),
        "constant_minimum_ms": float(constant.min()),
        "ratio_median": float(np.median(ratios)),
        "ratio_of_minima": float(real.min() / constant.min()),
        "ratio_p10": float(np.quantile(ratios, 0.1)),
        "ratio_p90": float(np.quantile(ratios, 0.9)),
        "trained_images_per_second": float(trained),
        "alone_over_trained": float(alone["images_per_second"] / trained),
    }


def table(results):
    alone, s = results["alone"], results["settings"]
    lines = [
        "# What the input pipeline costs\n",
        f"{results['data']} with pad, crop and flip, batch {alone['batch']}, "
        f"student in {s['precision']}, Factor Transfer with "
        f'acceleration="{s["acceleration"]}". Milliseconds per step, '
        f"median (minimum) of {s['pairs']} blocks of {s['block']} "
        f"steps after {s['settle']} that do not count; blocks with real and "
        "with constant data take turns, and a ratio is that of a pair. Goal: "
        f"at most {GOAL_RATIO}, and the pipeline alone at least {GOAL_ALONE} "
        "times as fast as training.\n",
        "| training | real data | constant batch | ratio, median | of minima "
        "| 10-90 % | images/s | pipeline alone, times |",
        "|---" * 8 + "|",
    ]
    for kind, row in results["steps"].items():
        lines.append(
            f"| {LABELS[kind]} "
            f"| {row['real_median_ms']:.1f} ({row['real_minimum_ms']:.1f}) "
            f"| {row['constant_median_ms']:.1f} "
            f"({row['constant_minimum_ms']:.1f}) "
            f"| {row['ratio_median']:.3f} | {row['ratio_of_minima']:.3f} "
            f"| {row['ratio_p10']:.3f}-{row['ratio_p90']:.3f} "
            f"| {row['trained_images_per_second']:.0f} "
            f"| {row['alone_over_trained']:.1f} |"
        )
    lines.append(
        f"\nThe pipeline alone makes {alone['images_per_second']:.0f} images/s "
        f"and takes {alone['processor_ms_per_batch']:.2f} ms of processor time "
        "for a batch, all threads together."
    )
    return "\n".join(lines) + "\n"


def benchmark():
    toy = kept_runs.TOY.value
    settings = {
        "acceleration": ACCELERATION.value,
        "precision": PRECISION.value,
        "pairs": 3 if toy else PAIRS.value,
        "block": 2 if toy else BLOCK.value,
        "settle": 1 if toy else SETTLE.value,
    }
    runs = kept_runs.KeptRuns("input_pipeline", training_task.settings())
    alone = runs.get(kind="alone", batches=20 if toy else ALONE.value)
    steps = {
        kind: summary(runs.get(kind=kind, **settings), alone) for kind in LABELS
    }
    alone["batch"] = steps["plain"]["batch"]
    results = {
        "data": training_task.data_name(),
        "settings": settings,
        "alone": alone,
        "steps": steps,
    }
    kept_runs.write("input_pipeline", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
