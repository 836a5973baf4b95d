"""The paper's CIFAR-10 setting on a GPU, on JAX, in calls of a few minutes.

    python benchmarks/gpu/paper_run.py --pack=DIR --data_dir=TFDS \\
        --teacher=resnet56_cifar10.npz
    KERAS_BACKEND=jax PYTHONPATH=. python benchmarks/gpu/paper_run.py \\
        --data=DIR --out=RUN --minutes=8
    python benchmarks/gpu/paper_run.py --out=RUN --tables

ResNet-56 to ResNet-20 by the official recipe: 164 epochs, five seeds of plain
training, KD, FT and FT+KD; with each seed all start from the same weights and
see the same batches. The second command trains until its minutes would be
over and says so; the same command goes on, bit for bit on the same device.
It needs no TensorFlow. README.md tells the rest.

RUN holds settings.json, results.jsonl with a line per epoch, the training in
progress (training.npz) and the paraphraser of its seed (paraphraser.npz).
"""

import json
import math
import os
import statistics
import time

# Sums in one order, or no two runs were equal; read when JAX starts.
os.environ["XLA_FLAGS"] = (
    os.environ.get("XLA_FLAGS", "") + " --xla_gpu_deterministic_ops=true"
)

from pathlib import Path

import keras
import numpy as np
import packed_images
from absl import app
from absl import flags

import keras_ft
from keras_ft import artifacts
from keras_ft import methods
from keras_ft.errors import InputError

STARTED = time.monotonic()

PACK = flags.DEFINE_string("pack", None, "Pack the data into this folder.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "To pack: TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "To pack: ResNet arrays (.npz).")
PIECE = flags.DEFINE_float("piece_mb", 48, "To pack: at most so much a file.")
TOY = flags.DEFINE_boolean("toy", False, "To pack: a few embedded images.")
DATA = flags.DEFINE_string("data", None, "The packed data: train on them.")
OUT = flags.DEFINE_string("out", "runs/benchmarks/paper_run", "RUN folder.")
MINUTES = flags.DEFINE_float(
    "minutes", None, "Begin no epoch that would end later; at least one is run."
)
METHODS = flags.DEFINE_list("methods", "none,kd,ft,ft+kd", "To compare.")
SEEDS = flags.DEFINE_integer("seeds", 5, "Trainings of each, from seed 0 on.")
EPOCHS = flags.DEFINE_integer("epochs", None, "164 by default.")
PHASE1 = flags.DEFINE_integer("paraphrase_epochs", None, "6 by default.")
BATCH = flags.DEFINE_integer("batch_size", None, "128 by default.")
TABLES = flags.DEFINE_boolean("tables", False, "Write what there is.")


@flags.multi_flags_validator(
    ["pack", "data", "tables"], "Give --pack=DIR, --data=DIR or --tables."
)
def _has_a_job(values):
    return any(values.values())


@flags.multi_flags_validator(
    ["pack", "toy", "data_dir", "teacher"],
    "To pack, --data_dir=DIR and --teacher=FILE are needed, or --toy.",
)
def _has_a_source(values):
    return (
        not values["pack"]
        or values["toy"]
        or bool(values["data_dir"] and values["teacher"])
    )


SETTINGS, RESULTS = "settings.json", "results.jsonl"
TRAINING, PARAPHRASER = "training.npz", "paraphraser.npz"
TARGET, TOLERANCE = 92.2, 0.3  # Plain training, percent.


class OutOfTime(Exception):
    """The next epoch would end too late."""


class Clock:
    """Tell whether there is time for another epoch."""

    def __init__(self, minutes):
        self._end = math.inf if minutes is None else STARTED + 60 * minutes
        # A training's first epoch in a process is compiled as well.
        self._longest = {}

    def timed(self, compiles, work, *arguments):
        """Call a function and return its result and seconds.

        Raises:
            OutOfTime: There is no time to; never before the first.
        """
        begun = time.monotonic()
        if self._longest and begun + self._expected(compiles) > self._end:
            raise OutOfTime
        result = work(*arguments)
        seconds = time.monotonic() - begun
        longest = max(seconds, self._longest.get(compiles, 0))
        self._longest[compiles] = longest
        return result, seconds

    def _expected(self, compiles):
        return self._longest.get(compiles, max(self._longest.values()))


class PaperRun:
    """Train every method with every seed, from what is in a folder on."""

    def __init__(self, out, data, recipe, clock):
        import compiled_epoch

        self._jax = compiled_epoch
        self._out, self._data = Path(out), data
        self._recipe, self._clock = recipe, clock
        self._compiled = {}
        self._check_settings()

    def run(self, names, seeds):
        """Train; raise `OutOfTime` where that ends before they do."""
        known = lines(self._out)
        for seed in range(seeds):
            for name in names:
                last = (name, seed, self._recipe.distill.epochs)
                if last not in known:
                    self._train_student(name, seed)

    def _check_settings(self):
        settings = {
            "recipe": self._recipe.to_dict(),
            "about": self._data.about,
            "digests": self._data.digests,
            **self._jax.device(),
        }
        path = self._out / SETTINGS
        if not path.exists():
            settings["teacher_accuracy"] = self._jax.teacher_accuracy(
                self._data
            )
            artifacts.write_json(path, settings)
            return
        kept = artifacts.read_json(path)
        # Through JSON, as what was kept.
        settings = json.loads(json.dumps(settings))
        differing = [name for name in settings if settings[name] != kept[name]]
        if differing:
            raise InputError(
                "out",
                f"{self._out}, begun with another {' and '.join(differing)}",
                "the folder of the same run",
                "Continue with what it was begun with, or name a new folder.",
            )

    def _train_student(self, name, seed):
        paraphraser = None
        if methods.parse(name).has("ft"):
            paraphraser = self._paraphraser(seed)
        # All methods of a seed begin with the same student.
        keras.utils.set_random_seed(seed)
        student = self._data.new_student()
        model = methods.build(
            name,
            self._recipe,
            self._data.teacher,
            student,
            paraphraser,
            acceleration="none",
        )
        self._train(name, seed, model, student, self._recipe.distill)

    def _paraphraser(self, seed):
        """Return the trained one of a seed."""
        keras.utils.set_random_seed(seed)
        paraphraser = self._recipe.paraphraser()
        phase1 = self._recipe.paraphraser_trainer(
            self._data.teacher, paraphraser, acceleration="none"
        )
        path = self._out / PARAPHRASER
        kept = read_arrays(path) if path.exists() else {"seed": -1}
        if kept.pop("seed") == seed:
            for number, variable in enumerate(paraphraser.variables):
                variable.assign(kept[f"weight.{number}"])
        else:
            schedule = self._recipe.paraphrase
            state = self._train("paraphraser", seed, phase1, None, schedule)
            self._jax.assign(paraphraser, phase1, state)
            weights = {
                f"weight.{number}": variable.numpy()
                for number, variable in enumerate(paraphraser.variables)
            }
            write_arrays(path, seed=seed, **weights)
        phase1.mark_trained()
        return paraphraser

    def _train(self, name, seed, model, student, schedule):
        steps = math.ceil(len(self._data.train[1]) / schedule.batch_size)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(schedule.optimizer(steps), loss)
        begin, state = self._continued(
            name, seed, self._jax.initial_state(model)
        )
        compiles = name not in self._compiled
        if compiles:
            self._compiled[name] = self._jax.CompiledEpoch(
                model, student, self._data, schedule.batch_size
            )
        for epoch in range(begin, schedule.epochs):
            (state, loss, accuracy), seconds = self._clock.timed(
                compiles, self._compiled[name], state, seed, epoch
            )
            line = {
                "method": name,
                "seed": seed,
                "epoch": epoch + 1,
                "loss": loss,
                "accuracy": accuracy,
                "seconds": round(seconds, 3),
                "compiled": compiles,
            }
            self._keep(line, state)
            compiles = False
        return state

    def _keep(self, line, state):
        """Write an epoch's result, then the state after it.

        Killed in between, the epoch is run and written again.
        """
        text = json.dumps(line)
        print(text, flush=True)
        with (self._out / RESULTS).open("a", encoding="utf-8") as stream:
            # Begins with a new line, in case the last one is incomplete.
            stream.write(f"\n{text}\n")
        values = {
            f"{part}.{number}": value
            for part, values in enumerate(state)
            for number, value in enumerate(values)
        }
        where = json.dumps([line[k] for k in ("method", "seed", "epoch")])
        write_arrays(self._out / TRAINING, where=where, **values)

    def _continued(self, name, seed, state):
        """Return the epochs that are done and the state after them."""
        path = self._out / TRAINING
        if not path.exists():
            return 0, state
        kept = read_arrays(path)
        *which, epochs = json.loads(str(kept["where"]))
        if which != [name, seed]:
            return 0, state
        values = [
            [kept[f"{part}.{number}"] for number in range(len(values))]
            for part, values in enumerate(state)
        ]
        return epochs, tuple(values)


def write_arrays(path, **arrays):
    with artifacts.atomic_path(path) as temporary:
        np.savez(temporary, **arrays)


def read_arrays(path):
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def lines(out):
    """Return the results by method, seed and epoch, counted from 1."""
    path = Path(out, RESULTS)
    found = {}
    for text in path.read_text("utf-8").splitlines() if path.exists() else []:
        try:
            line = json.loads(text)
        except ValueError:
            continue  # The writer was killed, or an empty line.
        found[line["method"], line["seed"], line["epoch"]] = line
    return found


def write_tables(out):
    """Write what is finished as Markdown, and return it."""
    # Imported here: the device may lack what it needs.
    from keras_ft.experiments.comparison.difference import Difference

    settings = artifacts.read_json(Path(out, SETTINGS))
    epochs = settings["recipe"]["distill"]["epochs"]
    accuracies, best, seconds = {}, {}, {}
    for (name, seed, epoch), line in lines(out).items():
        if name == "paraphraser":
            continue
        best.setdefault((name, seed), []).append(line["accuracy"])
        if not line["compiled"]:
            seconds.setdefault(name, []).append(line["seconds"])
        if epoch == epochs:
            accuracies.setdefault(name, {})[seed] = line["accuracy"]
    rows = []
    for name, ours in accuracies.items():
        over = [
            str(Difference.of(ours, accuracies[other]))
            if other in accuracies and name not in ("none", other)
            else "-"
            for other in ("none", "kd")
        ]
        highest = [max(best[name, seed]) for seed in ours]
        median = statistics.median(seconds.get(name, [math.nan]))
        cells = [methods.parse(name).title, len(ours), spread(ours.values())]
        cells += [spread(highest), *over, f"{median:.2f}"]
        rows.append(f"| {' | '.join(map(str, cells))} |")
    about = settings["about"]
    teacher = f"{settings['teacher_accuracy']:.2%}"
    text = "\n".join(
        [
            f"# The paper's setting on {settings['device']}",
            "",
            f"{about['dataset']}, {about['teacher'] or 'the shipped teacher'} "
            f"({teacher}) to {about['student']}, {epochs} epochs, the official "
            f"recipe; JAX {settings['jax']}, Keras {settings['keras']}, "
            "float32 with XLA's default precision of products. Images are "
            "normalized as the teacher was trained. Means "
            "and standard deviations over seeds, percent of the test images. "
            "The last epoch counts; the best is chosen on these very images. "
            "Differences are those of the last epoch, paired, with their 95 % "
            "interval (Student's t over the seeds). Seconds: median of an "
            "epoch, with its test; compilation left out.",
            "",
            "| method | seeds | last epoch | best epoch | over plain "
            "| over KD | s per epoch |",
            "|---" * 7 + "|",
            *rows,
            "",
            _target(accuracies.get("none", {})),
            "",
        ]
    )
    artifacts.write_text(Path(out, "tables.md"), text)
    return text


def spread(accuracies):
    """Return mean and deviation, in percent."""
    values = [100 * value for value in accuracies]
    mean = f"{statistics.fmean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if values[1:] else mean


def _target(plain):
    target = f"Target of plain training: {TARGET} ± {TOLERANCE} %"
    if not plain:
        return f"{target}; no training has ended."
    mean = 100 * statistics.fmean(plain.values())
    reached = abs(mean - TARGET) <= TOLERANCE
    return f"{target}: {'reached' if reached else 'missed'} with {mean:.2f} %."


def recipe(examples):
    """Return the official recipe, unless flags change it."""
    found = keras_ft.Recipe.preset("official").scheduled(
        epochs=EPOCHS.value,
        paraphrase_epochs=PHASE1.value,
        batch_size=BATCH.value,
    )
    return found.in_epochs(math.ceil(examples / found.paraphrase.batch_size))


def main(_):
    if PACK.value:
        piece = int(PIECE.value * 1e6)
        if TOY.value:
            packed_images.pack_toy(PACK.value, piece)
        else:
            packed_images.pack_cifar10(
                PACK.value, DATA_DIR.value, TEACHER.value, piece
            )
        return
    if DATA.value:
        data = packed_images.read(DATA.value)
        run = PaperRun(
            OUT.value, data, recipe(len(data.train[1])), Clock(MINUTES.value)
        )
        try:
            run.run(METHODS.value, SEEDS.value)
        except OutOfTime:
            print("Out of time. The same command goes on.")
        else:
            print("All trainings are finished.")
    if TABLES.value:
        print(write_tables(OUT.value))


if __name__ == "__main__":
    app.run(main)
