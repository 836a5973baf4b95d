"""Measure whether a long training holds on to memory.

    python benchmarks/soak.py
    python benchmarks/soak.py --epochs=20 --burn_in=5 --out=/tmp/soak

Many epochs of tiny networks on a few embedded images, with validation, in a
process of its own for each kind of training: Keras' own `fit` for comparison,
Factor Transfer with its teacher, and with a feature cache. After each epoch
the resident memory and the number of open files are read from /proc, so this
is for Linux. Resident memory includes what malloc holds ready for later, so
glibc is also asked how much of malloc's memory is in use, and limited to two
arenas: by default it has eight for each core, and which of them a thread of a
pipeline fills is chance. That moved the resident memory of one cached training
by 20 MB within 60 epochs, and of the next by 1 MB in 100, while the allocated
memory of both stayed flat. Writes a JSON and a Markdown file to
benchmarks/results/.
"""

import ctypes
import os
import time
from pathlib import Path

import kept_runs
import keras
import numpy as np
from absl import flags

import keras_ft

EPOCHS = flags.DEFINE_integer("epochs", 200, "Of phase 2.", lower_bound=3)
BURN_IN = flags.DEFINE_integer(
    "burn_in", 100, "First epochs, left out of the slope."
)
EXAMPLES = flags.DEFINE_integer("train_examples", 128, "Training images.")
ACCELERATION = flags.DEFINE_enum(
    "acceleration", "auto", ["auto", "none"], "Of Factor Transfer."
)

ARENAS = flags.DEFINE_integer("arenas", 2, "Of malloc; 0 for its default.")

GOAL = 1.0  # MB per 100 epochs
MB = 1e6
PROCESS = Path("/proc/self")
LABELS = {
    "plain": "Keras' fit",
    "online": "Factor Transfer, online",
    "cached": "Factor Transfer, cached",
}


class Mallinfo(ctypes.Structure):
    """`struct mallinfo2` of glibc 2.33 and later, see man mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


class Memory(keras.callbacks.Callback):
    """Resident and allocated memory in MB, and open files, of every epoch."""

    def __init__(self):
        super().__init__()
        self.resident_mb, self.allocated_mb, self.open_files = [], [], []

    def on_epoch_end(self, epoch, logs=None):
        self.resident_mb.append(resident_mb())
        self.allocated_mb.append(allocated_mb())
        self.open_files.append(len(os.listdir(PROCESS / "fd")))


def resident_mb():
    lines = (PROCESS / "status").read_text("ascii").splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / MB


def allocated_mb():
    """Return what malloc holds, in all threads' arenas and outside."""
    tell = ctypes.CDLL(None).mallinfo2
    tell.restype = Mallinfo
    found = tell()
    return (found.uordblks + found.hblkhd) / MB


def measure(kind, epochs, train_examples, acceleration, arenas):
    """Measure the memory of one training."""
    del arenas  # In the environment, where malloc reads it.
    keras.utils.set_random_seed(0)
    data = keras_ft.data.load(
        "fashion_mini", 32, train_examples=train_examples, drop_remainder=True
    )
    teacher, model = network(data, 16), network(data, 8)
    source = data
    if kind != "plain":
        # Random weights take as much memory as trained ones.
        paraphraser = keras_ft.Paraphraser(rate=0.5)
        paraphraser.trained = True
        model = keras_ft.FactorTransfer(
            teacher, model, paraphraser, acceleration=acceleration
        )
    if kind == "cached":
        source = keras_ft.FeatureCache.build(
            None, teacher, data, views=2, echo=None
        )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    optimizer = keras_ft.CoupledSGD(0.01, momentum=0.9, weight_decay=5e-4)
    model.compile(optimizer, loss, metrics=["accuracy"])
    memory = Memory()
    start = time.perf_counter()
    model.fit(
        source.train_from(0),
        steps_per_epoch=source.steps_per_epoch,
        validation_data=source.validation,
        epochs=epochs,
        callbacks=[memory],
        verbose=0,
    )
    seconds = time.perf_counter() - start
    return {
        "seconds": seconds,
        "resident_mb": memory.resident_mb,
        "allocated_mb": memory.allocated_mb,
        "open_files": memory.open_files,
        "says": f"{memory.resident_mb[-1]:.1f} MB after {seconds:.0f} s",
    }


def network(data, channels):
    """Build two convolutions with batch normalization, and a classifier."""
    layers = keras.layers
    image = x = keras.Input(data.input_shape)
    for width in (channels, 2 * channels):
        x = layers.Conv2D(width, 3, strides=2, padding="same")(x)
        x = layers.BatchNormalization()(x)
        x = layers.ReLU()(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(data.classes)(x))


def summary(run, burn_in):
    """Return memory and its slopes after the first epochs."""
    resident = np.array(run["resident_mb"])
    files = run["open_files"][burn_in:]
    return {
        **run,
        "mb_per_100_epochs": slope(resident, burn_in),
        "allocated_mb_per_100_epochs": slope(run["allocated_mb"], burn_in),
        "mb_after_burn_in": float(resident[burn_in]),
        "mb_at_the_end": float(resident[-1]),
        "mb_highest": float(resident.max()),
        "open_files_fewest": min(files),
        "open_files_most": max(files),
    }


def slope(values, burn_in):
    """Return least squares over the epochs after the first ones, per 100."""
    epochs = np.arange(len(values))
    return float(100 * np.polyfit(epochs[burn_in:], values[burn_in:], 1)[0])


def table(results):
    settings, burn_in = results["settings"], results["burn_in"]
    lines = [
        "# Memory of a long training\n",
        f"{settings['epochs']} epochs of {settings['train_examples']} images "
        "of Fashion-MNIST with validation, networks of two convolutions, "
        f'acceleration="{settings["acceleration"]}". Resident memory in MB '
        "(10^6 bytes) and open files after each epoch; slopes are those of "
        f"least squares after the first {burn_in} epochs. Allocated memory "
        "leaves out what malloc holds ready for later, in "
        f"{settings['arenas'] or 'its default number of'} arenas. Goal: less "
        f"than {GOAL:g} MB per 100 epochs.\n",
        "| training | resident, MB per 100 epochs | allocated, MB per 100 "
        f"epochs | resident after {burn_in} epochs | at the end | highest "
        "| open files | seconds |",
        "|---" * 8 + "|",
    ]
    for kind, row in results["kinds"].items():
        lines.append(
            f"| {LABELS[kind]} | {row['mb_per_100_epochs']:+.2f} "
            f"| {row['allocated_mb_per_100_epochs']:+.2f} "
            f"| {row['mb_after_burn_in']:.1f} | {row['mb_at_the_end']:.1f} "
            f"| {row['mb_highest']:.1f} "
            f"| {row['open_files_fewest']}-{row['open_files_most']} "
            f"| {row['seconds']:.0f} |"
        )
    return "\n".join(lines) + "\n"


def benchmark():
    settings = {
        "epochs": EPOCHS.value,
        "train_examples": EXAMPLES.value,
        "acceleration": ACCELERATION.value,
        "arenas": ARENAS.value,
    }
    if ARENAS.value:
        kept_runs.OF_A_RUN["MALLOC_ARENA_MAX"] = str(ARENAS.value)
    runs = kept_runs.KeptRuns("soak", {})
    kinds = {
        kind: summary(runs.get(kind=kind, **settings), BURN_IN.value)
        for kind in LABELS
    }
    burn_in = BURN_IN.value
    results = {"settings": settings, "burn_in": burn_in, "kinds": kinds}
    kept_runs.write("soak", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
