"""Whether the fused kernel of batch normalization pays, on TensorFlow's CPU.

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
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import app
from absl import flags

import keras_ft
from keras_ft.acceleration import fused_norm
from keras_ft.acceleration.fused_norm import candidates
from keras_ft.acceleration.fused_norm import fused
from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text

TOY = flags.DEFINE_boolean("toy", False, "Tiny sizes, to try the script out.")
NETWORK = flags.DEFINE_string("network", "resnet20", "Network of the zoo.")
BATCH = flags.DEFINE_integer("batch", 128, "Images per step.")
SECONDS = flags.DEFINE_integer("seconds", 30, "Time for each setting.")
PRECISIONS = flags.DEFINE_list(
    "precisions", "float32,mixed_bfloat16", "Keras dtype policies."
)
OUT = flags.DEFINE_string("out", None, "Results, without an ending.")
ONE = flags.DEFINE_string("one", None, "Measure this precision, print JSON.")

RESULTS = Path(__file__).resolve().parent / "results"
IMAGE = (32, 32, 3)
CLASSES = 10
FEWEST = 3  # pairs, however slow they are
LAYERS = ((32, 32, 16), (16, 16, 32), (8, 8, 64))  # of ResNet-20


def training_step(fuse):
    """A compiled step of a network of its own, always the same one."""
    keras.utils.set_random_seed(0)
    network = keras_ft.zoo.build(NETWORK.value, CLASSES, IMAGE)
    optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
    optimizer.build(network.trainable_variables)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    @tf.function(autograph=False)
    def step(images, labels):
        with tf.GradientTape() as tape:
            with fused(network) if fuse else contextlib.nullcontext():
                outputs = network(images, training=True)
            value = loss(labels, outputs)
        variables = network.trainable_variables
        optimizer.apply(tape.gradient(value, variables))
        return value

    return step, len(candidates(network))


def layer_step(fuse, channels, backward):
    """A compiled pass through one layer, forward or forward and backward."""
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
    """Milliseconds of two steps that take turns, and their ratios."""
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


def measure(precision):
    """Everything about one precision, in this process."""
    keras.config.set_dtype_policy(precision)
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH.value, *IMAGE)).astype("float32")
    labels = rng.integers(0, CLASSES, BATCH.value)
    steps, counts = zip(*map(training_step, (False, True)), strict=True)
    arguments = tf.constant(images), tf.constant(labels)
    found = compared(steps, arguments, SECONDS.value)
    dtype = keras.config.dtype_policy().compute_dtype
    layers = []
    for shape, backward in itertools.product(LAYERS, (False, True)):
        x = tf.cast(rng.normal(size=(BATCH.value, *shape)), dtype)
        pair = [layer_step(f, shape[-1], backward) for f in (False, True)]
        times = compared(pair, (x,), min(2, SECONDS.value))
        layers.append({"shape": shape, "backward": backward, **times})
    return {
        **found,
        "layers": layers,
        "normalizations": counts[0],
        "pays": fused_norm.is_faster(dtype),
    }


def measured(precision, onednn):
    """What `measure` finds in a process of its own."""
    words = {"network": NETWORK.value, "batch": BATCH.value}
    words |= {"seconds": SECONDS.value, "one": precision}
    done = subprocess.run(
        [sys.executable, __file__, *(f"--{k}={v}" for k, v in words.items())],
        env={**os.environ, "TF_ENABLE_ONEDNN_OPTS": onednn},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return {
        "precision": precision,
        "onednn": onednn == "1",
        **json.loads(done.stdout.splitlines()[-1]),
    }


def processor():
    """Name and vector instructions, where Linux tells them."""
    lines = Path("/proc/cpuinfo")
    text = lines.read_text("utf-8") if lines.exists() else ""
    known = dict(
        (part.strip() for part in line.split(":", 1))
        for line in text.splitlines()
        if ":" in line
    )
    wanted = ("avx2", "avx512f", "avx512_bf16", "amx_bf16")
    has = set(wanted) & set(known.get("flags", "").split())
    name = known.get("model name", platform.machine())
    return {"name": name, "cores": os.cpu_count(), "has": sorted(has)}


def table(results):
    """The results for people."""
    machine = results["machine"]
    has = ", ".join(machine["has"]) or "instructions unknown"
    lines = [
        "# Fused batch normalization on the CPU\n",
        *(["A toy run: it shows that the script runs.\n"] * results["toy"]),
        f"One training step of {results['network']} at batch "
        f"{results['batch']}, SGD with momentum, images of 32x32x3; "
        f"{machine['cores']} cores of {machine['name']} ({has}), "
        f"TensorFlow {results['tensorflow']}, Keras {results['keras']}. "
        "Keras' layers and the fused ones take turns in one process; a ratio "
        "below 1 means that the fused ones are faster. Read the ratios: the "
        "machine may carry other load.\n",
        "| precision | oneDNN | pairs | Keras, ms | fused, ms | ratio, median "
        "| of minima | 10-90 % | `pays()` |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in results["rows"]:
        lines.append(_line(row) + f" {'yes' if row['pays'] else 'no'} |")
    lines += [
        "\nOne layer alone, in the same process:\n",
        "| precision | oneDNN | layer | pass | pairs | Keras, ms | fused, ms "
        "| ratio, median | of minima | 10-90 % |",
        "|---|---|---|---|---|---|---|---|---|---|",
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


def main(argv):
    del argv
    if ONE.value:
        print(json.dumps(measure(ONE.value)))
        return
    if TOY.value:
        chosen = flags.FLAGS
        chosen.network, chosen.batch, chosen.seconds = "resnet8", 4, 1
    results = {
        "toy": TOY.value,
        "network": NETWORK.value,
        "batch": BATCH.value,
        "machine": processor(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "rows": [
            measured(precision, onednn)
            for precision in PRECISIONS.value
            for onednn in ("1", "0")
        ],
    }
    name = "fused_norm_toy" if TOY.value else "fused_norm"
    out = Path(OUT.value or RESULTS / name)
    write_json(out.with_suffix(".json"), results)
    write_text(out.with_suffix(".md"), table(results))
    print(table(results))


if __name__ == "__main__":
    app.run(main)
