"""Measure where the fused kernel of batch normalization is faster.

    python benchmarks/fused_norm.py
    python benchmarks/fused_norm.py --toy

One training step of a network of the zoo, with Keras' batch normalization and
with the fused one: the two take turns in one process, and what counts is the
ratio of each pair. Each precision is measured with oneDNN on and off, in a
process of its own, because TensorFlow reads that variable once. Single layers
of ResNet-20's sizes explain the step. Writes a JSON and a Markdown file to
benchmarks/results/.
"""

import contextlib
import itertools
import time

import kept_runs
import keras
import numpy as np
import tensorflow as tf
from absl import flags

import keras_ft
from keras_ft.acceleration import fused_norm
from keras_ft.acceleration.fused_norm import candidates
from keras_ft.acceleration.fused_norm import fused

NETWORK = flags.DEFINE_string("network", "resnet20", "Network of the zoo.")
BATCH = flags.DEFINE_integer("batch", 128, "Images per step.")
SECONDS = flags.DEFINE_integer("seconds", 30, "Time for each setting.")
PRECISIONS = flags.DEFINE_list(
    "precisions", "float32,mixed_bfloat16", "Keras dtype policies."
)

IMAGE = (32, 32, 3)
CLASSES = 10
FEWEST = 3  # pairs, however slow they are
LAYERS = ((32, 32, 16), (16, 16, 32), (8, 8, 64))  # of ResNet-20


def training_step(network, fuse):
    """Return a compiled step of a network of its own, always the same one."""
    keras.utils.set_random_seed(0)
    model = keras_ft.zoo.build(network, CLASSES, IMAGE)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(model.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape() as tape:
            with fused(model) if fuse else contextlib.nullcontext():
                outputs = model(images, training=True)
            value = loss(labels, outputs)
        variables = model.trainable_variables
        optimizer.apply(tape.gradient(value, variables))
        return value

    return step, len(candidates(model))


def layer_step(fuse, channels, backward):
    """Compile a pass through one layer, forward or also backward."""
    layer = keras.layers.BatchNormalization()
    layer.build((None, None, None, channels))

    @tf.function(autograph=False)
    def step(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            with fused(layer) if fuse else contextlib.nullcontext():
                outputs = layer(x, training=True)
        if not backward:
            return tf.reduce_max(outputs[0])
        by_x, by_gamma, by_beta = tape.gradient(
            outputs, (x, layer.gamma.value, layer.beta.value), x
        )
        corner = tf.cast(by_x[0, 0, 0], "float32")
        return tf.reduce_sum(corner + by_gamma + by_beta)

    return step


def compared(steps, arguments, seconds):
    """Return milliseconds of two steps that take turns, and their ratios."""
    for step in steps:
        for _ in range(2):  # tracing; and the first run, which sets up oneDNN
            step(*arguments).numpy()
    taken = [[], []]
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or len(taken[0]) < FEWEST:
        for times, step in zip(taken, steps, strict=True):
            start = time.perf_counter()
            step(*arguments).numpy()
            times.append(1000 * (time.perf_counter() - start))
    first, second = np.array(taken)
    ratios = second / first
    return {
        "pairs": len(ratios),
        "keras_ms": {"median": np.median(first), "minimum": first.min()},
        "fused_ms": {"median": np.median(second), "minimum": second.min()},
        "ratio": {
            "median": np.median(ratios),
            "of_minima": second.min() / first.min(),
            "p10": np.quantile(ratios, 0.1),
            "p90": np.quantile(ratios, 0.9),
        },
    }


def measure(precision, network, batch, seconds):
    """Measure everything about one precision."""
    keras.config.set_dtype_policy(precision)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(batch, *IMAGE)).astype("float32")
    labels = rng.integers(0, CLASSES, batch)
    pair = [training_step(network, fuse) for fuse in (False, True)]
    steps, counts = zip(*pair, strict=True)
    arguments = tf.constant(images), tf.constant(labels)
    found = compared(steps, arguments, seconds)
    dtype = keras.config.dtype_policy().compute_dtype
    layers = []
    for shape, backward in itertools.product(LAYERS, (False, True)):
        x = tf.cast(rng.normal(size=(batch, *shape)), dtype)
        pair = [layer_step(f, shape[-1], backward) for f in (False, True)]
        times = compared(pair, (x,), min(2, seconds))
        layers.append({"shape": shape, "backward": backward, **times})
    return {
        **found,
        "layers": layers,
        "normalizations": counts[0],
        "is_faster": fused_norm.is_faster(dtype),
        "says": f"ratio {found['ratio']['median']:.2f}",
    }


def table(results):
    """Return the results for people."""
    lines = [
        "# Fused batch normalization on the CPU\n",
        f"One training step of {results['network']} at batch "
        f"{results['batch']}, SGD with momentum, images of 32x32x3. "
        "Keras' layers and the fused ones take turns in one process; a ratio "
        "below 1 means that the fused ones are faster. Read the ratios: the "
        "machine may carry other load.\n",
        "| precision | oneDNN | pairs | Keras, ms | fused, ms | ratio, median "
        "| of minima | 10-90 % | `is_faster()` |",
        "|---" * 9 + "|",
    ]
    for row in results["rows"]:
        lines.append(_line(row) + f" {'yes' if row['is_faster'] else 'no'} |")
    lines += [
        "\nOne layer alone, in the same process:\n",
        "| precision | oneDNN | layer | pass | pairs | Keras, ms | fused, ms "
        "| ratio, median | of minima | 10-90 % |",
        "|---" * 10 + "|",
    ]
    for row in results["rows"]:
        for layer in row["layers"]:
            shape = "x".join(map(str, layer["shape"]))
            same = {k: row[k] for k in ("precision", "onednn")}
            passes = "both" if layer["backward"] else "forward"
            lines.append(_line({**layer, **same}, shape, passes))
    return "\n".join(lines) + "\n"


def _line(row, *more):
    ratio = row["ratio"]
    cells = [row["precision"], "on" if row["onednn"] else "off", *more]
    cells.append(str(row["pairs"]))
    cells += [
        f"{row[kind]['median']:.2f} ({row[kind]['minimum']:.2f})"
        for kind in ("keras_ms", "fused_ms")
    ]
    cells += [f"{ratio['median']:.2f}", f"{ratio['of_minima']:.2f}"]
    cells.append(f"{ratio['p10']:.2f}-{ratio['p90']:.2f}")
    return f"| {' | '.join(cells)} |"


def benchmark():
    toy = kept_runs.TOY.value
    settings = {
        "network": "resnet8" if toy else NETWORK.value,
        "batch": 4 if toy else BATCH.value,
        "seconds": 1 if toy else SECONDS.value,
    }
    rows = []
    for precision, onednn in itertools.product(PRECISIONS.value, ("1", "0")):
        kept_runs.OF_A_RUN["TF_ENABLE_ONEDNN_OPTS"] = onednn
        runs = kept_runs.KeptRuns("fused_norm", {"onednn": onednn})
        found = runs.get(precision=precision, **settings)
        rows.append({"precision": precision, "onednn": onednn == "1", **found})
    results = {**settings, "rows": rows}
    kept_runs.write("fused_norm", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
