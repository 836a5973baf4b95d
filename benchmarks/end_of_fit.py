"""Measure how long `fit` takes to return after its last callback.

    python benchmarks/end_of_fit.py
    python benchmarks/end_of_fit.py --toy

Where tf.data tunes a pipeline, a thread of its tuner sleeps 10, 20, 40, ... ms
at a time. When `fit` drops the pipeline's iterator it can happen that it waits
until that thread wakes: until 10, 30, 70, ... 2550, 5110 ms after the first
batch, and so up to as long again as the epoch took. The pipelines of
`keras_ft.data` have nothing to tune and switch the tuner off. This trains a
small network on embedded images with it off and on, by turns, in fits of
different lengths. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import statistics
import time

import kept_runs
import keras
import tensorflow as tf
from absl import flags

import keras_ft

FITS = flags.DEFINE_integer("fits", 24, "Of each kind.", lower_bound=2)
LEAST = flags.DEFINE_integer("least", 60, "Steps of the shortest.")
MORE = flags.DEFINE_integer("more", 4, "Steps that each has more.")

LATE = 0.05  # seconds; without a tuner it takes a few milliseconds


class Clock(keras.callbacks.Callback):
    """Note when the last callback was called."""

    def on_train_begin(self, logs=None):
        self.began = time.perf_counter()

    def on_train_end(self, logs=None):
        self.ended = time.perf_counter()


def measure(fits, least, more):
    """Return seconds of every fit: of its steps, and after its callbacks."""
    keras.utils.set_random_seed(0)
    data = keras_ft.data.load("fashion_mini", batch_size=128)
    student = keras_ft.zoo.resnet8(
        classes=data.classes, input_shape=data.input_shape
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    student.compile("sgd", loss)
    tuned = tf.data.Options()
    tuned.autotune.enabled = True
    plain = data.train_from(0)
    streams = {"off": plain, "on": plain.with_options(tuned)}
    student.fit(plain, steps_per_epoch=2, verbose=0)
    rows = []
    for number in range(fits):
        for name, stream in streams.items():
            clock, steps = Clock(), least + number * more
            student.fit(
                stream, steps_per_epoch=steps, callbacks=[clock], verbose=0
            )
            after = time.perf_counter() - clock.ended
            row = {"tuner": name, "steps": steps, "after": after}
            rows.append({**row, "training": clock.ended - clock.began})
    late = sum(row["after"] > LATE for row in rows)
    return {"rows": rows, "says": f"{late} late of {len(rows)}"}


def summary(rows):
    """Return for both how many were late and what that cost."""
    found = {}
    for name in ("off", "on"):
        mine = [row for row in rows if row["tuner"] == name]
        after = [row["after"] for row in mine]
        training = sum(row["training"] for row in mine)
        found[name] = {
            "fits": len(mine),
            "late": sum(seconds > LATE for seconds in after),
            "median_ms": 1000 * statistics.median(after),
            "longest_ms": 1000 * max(after),
            "share_of_training": sum(after) / training,
        }
    return found


def table(results):
    lines = [
        "# What a fit waits for after its last step\n",
        "Fits of different lengths on the pipeline of embedded images, by "
        "turns with tf.data's tuner off (as `keras_ft.data` has it) and on "
        f"(TensorFlow's default). Late: more than {1000 * LATE:.0f} ms from "
        "the last callback until `fit` returns.\n",
        "| tuner | fits | late | median, ms | longest, ms | all waiting over "
        "all training |",
        "|---" * 6 + "|",
    ]
    for name, row in results["tuner"].items():
        lines.append(
            f"| {name} | {row['fits']} | {row['late']} "
            f"| {row['median_ms']:.1f} | {row['longest_ms']:.0f} "
            f"| {row['share_of_training']:.1%} |"
        )
    return "\n".join(lines) + "\n"


def benchmark():
    runs = kept_runs.KeptRuns("end_of_fit", {})
    toy = kept_runs.TOY.value
    settings = {
        "fits": 2 if toy else FITS.value,
        "least": 3 if toy else LEAST.value,
        "more": MORE.value,
    }
    found = runs.get(**settings)
    results = {
        "settings": settings,
        "tuner": summary(found["rows"]),
        "rows": found["rows"],
    }
    kept_runs.write("end_of_fit", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
