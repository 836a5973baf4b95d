"""A frozen teacher's pass: as it is, cut at its tap, folded, in bfloat16.

    python benchmarks/folded_teacher.py
    python benchmarks/folded_teacher.py --toy

ResNet-56 on random images of CIFAR's shape in inference, each variant as one
compiled TensorFlow function on the processor. The variants take turns in one
process, in an order that is shuffled each round, so that other load meets all
of them. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import os

# As `keras-ft` sets it. TensorFlow reads it once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import platform
import random
import statistics
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app
from absl import flags

import keras_ft
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap

TOY = flags.DEFINE_boolean("toy", False, "Tiny sizes, to try the script out.")
TEACHER = flags.DEFINE_string("teacher", "resnet56", "A network of the zoo.")
BATCH = flags.DEFINE_integer("batch", 128, "Images in a pass.")
ROUNDS = flags.DEFINE_integer("rounds", 30, "Timings of each variant.")
WARM_UP = flags.DEFINE_integer("warm_up", 3, "Rounds before, not counted.")
BFLOAT16 = flags.DEFINE_boolean(
    "bfloat16", True, "Also where the processor does not gain from it."
)
OUT = flags.DEFINE_string("out", None, "Results, without an ending.")

RESULTS = Path(__file__).resolve().parent / "results"
LABELS = {
    "original": "the teacher itself",
    "cut": "cut at its tap",
    "folded": "cut and folded, float32",
    "folded_bfloat16": "cut and folded, bfloat16",
}


def variants(teacher):
    """Compiled passes by name; all but the first return features alone."""
    tap = find_tap(teacher, None, "teacher")
    watched = feature_extractor(teacher, [tap])
    models = {
        "original": teacher,
        "cut": keras.Model(teacher.inputs[0], tap.tensor),
        "folded": fold(watched, keep=[0]),
    }
    if BFLOAT16.value:
        models["folded_bfloat16"] = fold(watched, "bfloat16", keep=[0])
    return {name: compiled(model) for name, model in models.items()}


def compiled(model):
    @tf.function
    def run(x):
        return model(x, training=False)

    return run


def randomised(teacher):
    """Statistics as after training: fresh ones would fold to nothing."""
    rng = np.random.default_rng(0)
    for layer in teacher.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.moving_mean.assign(rng.normal(0, 0.1, layer.gamma.shape))
            layer.moving_variance.assign(rng.uniform(0.5, 2, layer.gamma.shape))
    return teacher


def timed(runs, x, rounds, warm_up):
    """Milliseconds of every pass, by variant, in order of rounds."""
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
    """Median, minimum, spread, and the original's time over each round's."""
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
    """The results for people."""
    gains = "does" if results["gains_from_bfloat16"] else "does not"
    lines = [
        f"# Pass of a frozen {results['teacher']}, {results['machine']}",
        "",
        *(
            ["A toy run: it shows that the script runs, not how fast.", ""]
            if results["toy"]
            else []
        ),
        f"Batch {results['batch']}, images of 32x32x3, inference, TensorFlow "
        f"{results['tensorflow']}, Keras {results['keras']}, "
        f"{results['cores']} cores, oneDNN {results['onednn']}. Median, "
        f"minimum and 10-90 % range of {results['rounds']} passes each; the "
        'variants take turns. "Faster" is the teacher\'s own time over the '
        "variant's: the median over the rounds, and minimum over minimum. "
        f"This processor {gains} multiply bfloat16.",
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


def main(_):
    toy = TOY.value
    name = "resnet8" if toy else TEACHER.value
    batch, rounds = (4, 5) if toy else (BATCH.value, ROUNDS.value)
    teacher = randomised(keras_ft.zoo.build(name, 10, (32, 32, 3)))
    images = np.random.default_rng(1).normal(size=(batch, 32, 32, 3))
    x = tf.constant(images.astype("float32"))
    times = timed(variants(teacher), x, rounds, WARM_UP.value)
    results = {
        "toy": toy,
        "teacher": name,
        "batch": batch,
        "rounds": rounds,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"],
        "gains_from_bfloat16": gains_from_bfloat16(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "variants": summary(times),
    }
    words = ["folded_teacher", *(["toy"] if toy else [])]
    out = Path(OUT.value) if OUT.value else RESULTS / "_".join(words)
    write_json(out.with_suffix(".json"), results)
    write_text(out.with_suffix(".md"), table(results))
    print(table(results))


if __name__ == "__main__":
    app.run(main)
