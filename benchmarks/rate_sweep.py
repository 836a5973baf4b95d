"""Measure a search over rates with one teacher pass for all of them.

    python benchmarks/rate_sweep.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/rate_sweep.py --toy

For each rate, phase 1 and phase 2 of Factor Transfer on a part of CIFAR-10:

- sweep: in one process a feature cache is built, and every rate trains on it;
- parts: the teacher runs over the same batches once, and every rate trains on
  the finished cache, each in a process of its own;
- naive: in one process every rate runs the teacher again in both phases.

Timed is what a user's loop does: building models, both `fit`s, the cache.
Loading data and teacher does not count, nor do two steps that every process
trains first; there is no evaluation. The three take turns. Writes a JSON and a
Markdown file to benchmarks/results/.
"""

import shutil
import statistics
import time

import kept_runs
import keras
import tensorflow as tf
import training_task
from absl import flags

import keras_ft
from keras_ft.acceleration.folded_teacher import fold

RATES = flags.DEFINE_list(
    "rates", "0.25,0.375,0.5,0.625,0.75,1,1.5,2", "The paper's k."
)
ROUNDS = flags.DEFINE_integer("rounds", 2, "Turns of each.", lower_bound=1)
EXAMPLES = flags.DEFINE_integer("train_examples", 5000, "Training images.")
PHASE1_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 2, "Phase 1.")
EPOCHS = flags.DEFINE_integer("epochs", 2, "Phase 2.")
VIEWS = flags.DEFINE_integer("views", 2, "Views of the cache.", lower_bound=1)
ACCELERATION = flags.DEFINE_enum(
    "acceleration", "auto", ["auto", "none"], "Of sweep and parts."
)
NAIVE = flags.DEFINE_enum(
    "naive_acceleration", "auto", ["auto", "none"], "Of the naive loop."
)
PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "mixed_bfloat16"],
    "Of the students; auto: bfloat16 if the processor gains from it.",
)

NAME = "rate_sweep"
GOAL_OVERHEAD, GOAL_NAIVE = 1.05, 2


class Bench:
    """Hold what a run has before it is timed."""

    def __init__(self, settings):
        self.settings = settings
        self.data = training_task.load_data(
            train_examples=settings["train_examples"], drop_remainder=True
        )
        self.teacher = training_task.load_teacher()
        training_task.use_precision(settings["precision"])
        self.train(0.5, self.data, steps=2)

    def train(self, rate, source, steps=None):
        """Train both phases; with `steps`, one epoch of so many."""
        keras.utils.set_random_seed(0)
        epochs = [self.settings[k] for k in ("paraphrase_epochs", "epochs")]
        first, second = (1, 1) if steps else epochs
        each = training_task.steps_per_epoch(source)
        recipe = keras_ft.Recipe.preset("official").short(first, second)
        recipe = recipe.replace(rate=rate)
        acceleration = self.settings["acceleration"]
        paraphraser = recipe.paraphraser()
        phase1 = recipe.paraphraser_trainer(
            self.teacher, paraphraser, acceleration=acceleration
        )
        phase1.compile(recipe.paraphrase.optimizer(each))
        training_task.fit(phase1, source, steps, first)
        student = training_task.make_student(self.data)
        model = recipe.distiller(
            self.teacher, student, paraphraser, acceleration=acceleration
        )
        training_task.compiled(model, recipe.distill.optimizer(each))
        training_task.fit(model, source, steps, second)

    @property
    def folder(self):
        """Return the cache's folder; other settings make another one."""
        s = self.settings
        name = f"cache_{s['train_examples']}_{s['views']}_{s['acceleration']}"
        return kept_runs.folder(NAME) / name

    def cache(self):
        """Build the cache, or find it finished and verified."""
        return keras_ft.FeatureCache.build(
            self.folder,
            self.teacher,
            self.data,
            views=self.settings["views"],
            acceleration=self.settings["acceleration"],
            echo=None,
        )


def measure(kind, round, rate=None, rates=(), **settings):
    """Measure the seconds of one run."""
    del round  # The same again.
    return MEASURES[kind](Bench(settings), rate, rates)


def teacher_pass(bench, rate, rates):
    start = time.perf_counter()
    teacher, data = bench.teacher, bench.data
    tap = next(tap for tap in keras_ft.taps(teacher) if tap.default)
    features = keras.Model(teacher.inputs[0], tap.tensor)
    if bench.settings["acceleration"] == "auto":
        # As the cache does, whose rows are compared with the teacher's.
        precision = training_task.chosen_precision()
        features = fold(features, precision.removeprefix("mixed_"))
    forward = tf.function(lambda images: features(images, training=False))
    steps = bench.settings["views"] * data.steps_per_epoch
    stream = data.train_from(0).take(steps)
    batches = 0
    for source in (stream, data.validation, data.test):
        for images, _ in source:
            forward(images)
            batches += 1
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "batches": batches, "says": f"{seconds:.1f} s"}


def one_rate(bench, rate, rates):
    cache = bench.cache()
    return timed(lambda: bench.train(rate, cache))


def sweep(bench, rate, rates):
    shutil.rmtree(bench.folder, ignore_errors=True)
    start = time.perf_counter()
    cache = bench.cache()
    built = time.perf_counter() - start
    found = timed(lambda: [bench.train(each, cache) for each in rates])
    seconds = built + found["seconds"]
    return {
        "seconds": seconds,
        "cache_seconds": built,
        "cache_bytes": cache.bytes,
        "says": f"{seconds:.1f} s",
    }


def timed(work):
    start = time.perf_counter()
    work()
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "says": f"{seconds:.1f} s"}


MEASURES = {
    "teacher_pass": teacher_pass,
    "one_rate": one_rate,
    "sweep": sweep,
    "naive": lambda bench, _, rates: timed(
        lambda: [bench.train(each, bench.data) for each in rates]
    ),
}


def one_round(runs, number, settings):
    """Measure the three, and return their ratios."""
    rates = [float(rate) for rate in RATES.value]
    same = settings | {"round": number}
    whole = runs.get(kind="sweep", rates=rates, **same)
    once = runs.get(kind="teacher_pass", **same)
    parts = [runs.get(kind="one_rate", rate=rate, **same) for rate in rates]
    same["acceleration"] = NAIVE.value
    loop = runs.get(kind="naive", rates=rates, **same)
    parts_seconds = once["seconds"] + sum(part["seconds"] for part in parts)
    return {
        "sweep_seconds": whole["seconds"],
        "cache_seconds": whole["cache_seconds"],
        "cache_bytes": whole["cache_bytes"],
        "teacher_pass_seconds": once["seconds"],
        "rate_seconds": [part["seconds"] for part in parts],
        "parts_seconds": parts_seconds,
        "naive_seconds": loop["seconds"],
        "overhead": whole["seconds"] / parts_seconds,
        "naive_over_sweep": loop["seconds"] / whole["seconds"],
        "cache_over_pass": whole["cache_seconds"] / once["seconds"],
    }


def table(results):
    s, rounds = results["settings"], results["rounds"]
    lines = [
        f"# A sweep of {len(results['rates'])} rates\n",
        f"Rates {', '.join(results['rates'])}; {s['train_examples']:,} "
        f"images of {results['data']}, {s['paraphrase_epochs']} epochs of "
        f"phase 1 and {s['epochs']} of phase 2 for each, {s['views']} views, "
        f'student in {s["precision"]}, acceleration="{s["acceleration"]}", '
        f'naive loop "{results["naive_acceleration"]}". Seconds; parts: a '
        "teacher pass plus every rate by itself. Goals: sweep / parts "
        f"at most {GOAL_OVERHEAD}, naive / sweep at least {GOAL_NAIVE}. The "
        "cache also holds the validation and test images, which the naive "
        "loop never gives to the teacher.\n",
        "| round | sweep | of it cache | teacher pass | parts | naive "
        "| sweep / parts | naive / sweep | cache / pass |",
        "|---" * 9 + "|",
    ]
    seconds = ("sweep", "cache", "teacher_pass", "parts", "naive")
    ratios = ("overhead", "naive_over_sweep", "cache_over_pass")
    for number, found in enumerate(rounds):
        cells = [f"{found[f'{name}_seconds']:.1f}" for name in seconds]
        cells += [f"{found[name]:.2f}" for name in ratios]
        lines.append(f"| {number} | {' | '.join(cells)} |")
    columns = [[found[name] for found in rounds] for name in ratios]
    medians = [f"{statistics.median(column):.2f}" for column in columns]
    lines.append(f"| median | | | | | | {' | '.join(medians)} |")
    return "\n".join(lines) + "\n"


def benchmark():
    settings = {
        "train_examples": 256 if kept_runs.TOY.value else EXAMPLES.value,
        "paraphrase_epochs": PHASE1_EPOCHS.value,
        "epochs": EPOCHS.value,
        "views": VIEWS.value,
        "acceleration": ACCELERATION.value,
        "precision": training_task.chosen_precision(PRECISION.value),
    }
    runs = kept_runs.KeptRuns(NAME, training_task.settings())
    results = {
        "data": training_task.data_name(),
        "rates": RATES.value,
        "naive_acceleration": NAIVE.value,
        "settings": settings,
        "rounds": [one_round(runs, n, settings) for n in range(ROUNDS.value)],
    }
    kept_runs.write(NAME, results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
