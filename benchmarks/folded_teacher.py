"""A frozen teacher's pass: as it is, cut at its tap, folded, in bfloat16.

    python benchmarks/folded_teacher.py
    python benchmarks/folded_teacher.py --toy

ResNet-56 on random images of CIFAR's shape in inference, each variant as one
compiled TensorFlow function on the processor. The variants take turns in one
process, in an order that is shuffled each round, so that other load meets all
of them. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import random
import statistics
import time

import kept_runs
import keras
import numpy as np
import tensorflow as tf
from absl import flags

import keras_ft
from keras_ft.acceleration.folded_teacher import fold

TEACHER = flags.DEFINE_string("teacher", "resnet56", "A network of the zoo.")
BATCH = flags.DEFINE_integer("batch", 128, "Images in a pass.")
ROUNDS = flags.DEFINE_integer("rounds", 30, "Timings of each variant.")
WARM_UP = flags.DEFINE_integer("warm_up", 3, "Rounds before, not counted.")
BFLOAT16 = flags.DEFINE_boolean(
    "bfloat16", True, "Also where the processor does not gain from it."
)

LABELS = {
    "original": "the teacher itself",
    "cut": "cut at its tap",
    "folded": "cut and folded, float32",
    "folded_bfloat16": "cut and folded, bfloat16",
}


def variants(teacher, bfloat16):
    """Compile passes, by name; all but the first return features alone."""
    tap = next(tap for tap in keras_ft.taps(teacher) if tap.default)
    cut = keras.Model(teacher.inputs[0], tap.tensor)
    models = {"original": teacher, "cut": cut, "folded": fold(cut)}
    if bfloat16:
        models["folded_bfloat16"] = fold(cut, "bfloat16")
    return {name: compiled(model) for name, model in models.items()}


def compiled(model):
    @tf.function
    def run(x):
        return model(x, training=False)

    return run


def randomised(teacher):
    """Draw statistics as after training: fresh ones would fold to nothing."""
    rng = np.random.default_rng(0)
    for layer in teacher.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.gamma.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.gamma.shape))
    return teacher


def timed(runs, x, rounds, warm_up):
    """Return milliseconds of every pass, by variant, in order of rounds."""
    times = {name: [] for name in runs}
    shuffled = random.Random(0)
    for number in range(warm_up + rounds):
        for name in shuffled.sample(sorted(runs), len(runs)):
            start = time.perf_counter()
            runs[name](x).numpy()
            passed = 1000 * (time.perf_counter() - start)
            if number >= warm_up:
                times[name].append(passed)
    return times


def summary(times):
    """Return medians, spreads, and the original's time over each variant's."""
    found = {}
    for name, values in times.items():
        low, *_, high = statistics.quantiles(values, n=10)
        pairs = zip(times["original"], values, strict=True)
        found[name] = {
            "median_ms": statistics.median(values),
            "minimum_ms": min(values),
            "p10_ms": low,
            "p90_ms": high,
            "faster_median_of_rounds": statistics.median(
                original / value for original, value in pairs
            ),
            "faster_by_minimum": min(times["original"]) / min(values),
            "all_ms": values,
        }
    return found


def table(results):
    """Return the results for people."""
    lines = [
        f"# Pass of a frozen {results['teacher']}",
        "",
        f"Batch {results['batch']}, images of 32x32x3, inference. Median, "
        f"minimum and 10-90 % range of {results['rounds']} passes each; the "
        'variants take turns. "Faster" is the teacher\'s own time over the '
        "variant's: the median over the rounds, and minimum over minimum.",
        "",
        "| variant | median ms | minimum | 10-90 % | faster | by minimum |",
        "|---" * 6 + "|",
    ]
    for name, v in results["variants"].items():
        lines.append(
            f"| {LABELS[name]} | {v['median_ms']:.1f} "
            f"| {v['minimum_ms']:.1f} | {v['p10_ms']:.1f}-{v['p90_ms']:.1f} "
            f"| {v['faster_median_of_rounds']:.2f} "
            f"| {v['faster_by_minimum']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def measure(teacher, batch, rounds, warm_up, bfloat16):
    """Return milliseconds of every variant's passes."""
    network = randomised(keras_ft.zoo.build(teacher, 10, (32, 32, 3)))
    images = np.random.default_rng(1).normal(size=(batch, 32, 32, 3))
    x = tf.constant(images.astype("float32"))
    times = timed(variants(network, bfloat16), x, rounds, warm_up)
    least = min(times["original"]) / min(times["folded"])
    return {"times": times, "says": f"folded {least:.2f} times as fast"}


def benchmark():
    toy = kept_runs.TOY.value
    settings = {
        "teacher": "resnet8" if toy else TEACHER.value,
        "batch": 4 if toy else BATCH.value,
        "rounds": 5 if toy else ROUNDS.value,
        "warm_up": WARM_UP.value,
        "bfloat16": BFLOAT16.value,
    }
    found = kept_runs.KeptRuns("folded_teacher", {}).get(**settings)
    results = {**settings, "variants": summary(found["times"])}
    kept_runs.write("folded_teacher", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
