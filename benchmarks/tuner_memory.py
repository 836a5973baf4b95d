"""Measure whether a search of many trials holds on to memory.

    python benchmarks/tuner_memory.py
    python benchmarks/tuner_memory.py --toy

A random search over rate and beta with tiny networks on a few embedded images,
in one process. After each trial the resident memory is read from /proc, so
this is for Linux, with malloc limited to two arenas as in soak.py. Growth is
from the mean of trials 6 to 10 to the mean of the last five: the first trials
load what TensorFlow needs. Writes a JSON and a Markdown file to
benchmarks/results/.
"""

import os
import tempfile
import time
from pathlib import Path

import kept_runs
import keras
import keras_tuner
import numpy as np
from absl import flags

import keras_ft

TRIALS = flags.DEFINE_integer("trials", 50, "How many.", lower_bound=1)
GOAL = 5.0  # percent
BURN_IN, WINDOW = 5, 5


class Search(keras_tuner.RandomSearch):
    """Read the memory after every trial."""

    resident_mb: list = []

    def on_trial_end(self, trial):
        super().on_trial_end(trial)
        self.resident_mb.append(resident_mb())
        print(
            f"trial {trial.trial_id}: {self.resident_mb[-1]:.1f} MB", flush=True
        )


def resident_mb():
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    line = next(line for line in lines if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024 / 1e6


def measure(trials):
    """Run one search."""
    data = keras_ft.data.load("fashion_mini", 64, train_examples=128)
    with tempfile.TemporaryDirectory() as folder:
        hypermodel = keras_ft.tuner.FactorTransferHyperModel(
            network(data, 12),
            lambda hp: network(data, 8),
            data,
            os.path.join(folder, "cache"),
            rates=(0.5, 1.0),
            betas=keras_ft.tuner.LogRange(10.0, 1000.0),
            recipe=keras_ft.Recipe.preset("official").short(1, 1),
            views=1,
            echo=None,
        )
        tuner = Search(
            hypermodel,
            objective="val_accuracy",
            max_trials=trials,
            seed=1,
            directory=folder,
        )
        begun = time.perf_counter()
        tuner.search(verbose=0)
        rows = hypermodel.results(tuner)
    assert all(row["status"] == "COMPLETED" for row in rows), rows
    memory = tuner.resident_mb
    start = np.mean(memory[BURN_IN : BURN_IN + WINDOW])
    end = np.mean(memory[-WINDOW:])
    grown = float(100 * (end / start - 1))
    return {
        "says": f"{grown:+.2f} %",
        "trials": len(rows),
        "seconds": round(time.perf_counter() - begun, 1),
        "resident_mb": [round(each, 1) for each in memory],
        "mb_start": float(start),
        "mb_end": float(end),
        "percent": grown,
    }


def network(data, channels):
    layers = keras.layers
    image = keras.Input(data.input_shape)
    x = layers.Conv2D(channels, 5, strides=4, padding="same")(image)
    x = layers.ReLU(name="features")(x)
    return keras.Model(image, layers.Dense(data.classes)(layers.Flatten()(x)))


def benchmark():
    kept_runs.OF_A_RUN["MALLOC_ARENA_MAX"] = "2"
    trials = 15 if kept_runs.TOY.value else TRIALS.value
    found = kept_runs.KeptRuns("tuner_memory", {}).get(trials=trials)
    text = (
        "# Memory of a long search\n\n"
        f"{found['trials']} trials of tiny networks in one process, "
        f"{found['seconds']:.0f} s: {found['mb_start']:.0f} MB resident in "
        f"trials {BURN_IN + 1} to {BURN_IN + WINDOW}, {found['mb_end']:.0f} MB "
        f"in the last {WINDOW}, {found['percent']:+.2f} %. Goal: below "
        f"{GOAL:g} %.\n"
    )
    kept_runs.write("tuner_memory", found, text)


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
