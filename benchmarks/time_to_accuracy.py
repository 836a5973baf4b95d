"""Measure the seconds of training to a given test accuracy.

    python benchmarks/time_to_accuracy.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/time_to_accuracy.py --toy --target=0.4

Plain Keras `fit` in float32 against accelerated Factor Transfer on real
CIFAR-10, with the same optimizer and the same form of schedule: the learning
rate rises over `--warm_up` of the steps and falls linearly to 0. For each side
the shortest schedule in whole epochs is searched that ends at the target.
Seconds are those of `fit`, of phase 1 and of a feature cache if there is one;
compilation counts, evaluation does not. The test images choose the length:
`--confirm_seeds` repeats the lengths found with other seeds. Writes a JSON and
a Markdown file to benchmarks/results/.
"""

import statistics

import kept_runs
import keras
import training_task
from absl import flags

import keras_ft

TARGET = flags.DEFINE_float("target", 0.86, "Test accuracy to reach.", 0, 1)
SEED = flags.DEFINE_integer("seed", 0, "Of the search.")
CONFIRM = flags.DEFINE_list(
    "confirm_seeds", "1", "Seeds that repeat the lengths found; may be empty."
)
SIDES = flags.DEFINE_list("sides", "plain,ft", "Which to run.")
SEARCH = flags.DEFINE_enum(
    "search",
    "walk",
    ["walk", "bisect"],
    "From the start epoch by epoch, or by doubling and halving.",
)
PLAIN_START = flags.DEFINE_integer("plain_start", 9, "Length tried first.")
FT_START = flags.DEFINE_integer("ft_start", 5, "Length tried first.")
LEAST = flags.DEFINE_integer("least", 2, "Shortest length.", lower_bound=1)
MOST = flags.DEFINE_integer("most", 20, "Longest length.", lower_bound=1)
PEAK = flags.DEFINE_float("peak", 0.1, "Highest learning rate.")
WARM_UP = flags.DEFINE_float("warm_up", 0.15, "Part of the steps.", 0, 1)
DECAY = flags.DEFINE_float("weight_decay", 5e-4, "Coupled, on every weight.")
ACCELERATION = flags.DEFINE_enum("acceleration", "auto", ["auto", "none"], "FT")
PRECISION = flags.DEFINE_enum(
    "precision",
    "auto",
    ["auto", "float32", "mixed_bfloat16"],
    "Of Factor Transfer's student; auto: bfloat16 if the processor gains.",
)
PHASE1 = flags.DEFINE_float(
    "paraphrase_epochs", 1, "Phase 1, also parts of an epoch.", 0.01
)
PHASE1_PEAK = flags.DEFINE_float("paraphrase_peak", 0.1, "Of phase 1.")
RATE = flags.DEFINE_float("rate", 0.5, "The paper's k.")
BETA = flags.DEFINE_float("beta", 500.0, "Weight of the factor term.")
ALSO = flags.DEFINE_enum("also", "", ["", "soft_targets"], "A further term.")
ALSO_BETA = flags.DEFINE_float("also_beta", 0.9, "Its weight.")
VIEWS = flags.DEFINE_integer(
    "views", 0, "Views of a feature cache in memory; 0 runs the teacher."
)

GOAL = 3
LABELS = {"plain": "Keras' fit, float32", "ft": "Factor Transfer"}


class WarmUpLinear(keras.optimizers.schedules.LearningRateSchedule):
    """From near 0 linearly up to a peak, and linearly down to near 0.

    Args:
        peak: The highest learning rate.
        warm_up: The part of the steps before it, at least 0, below 1.
        steps: All steps.
    """

    def __init__(self, peak, warm_up, steps):
        self.peak, self.warm_up, self.steps = peak, warm_up, steps

    def __call__(self, step):
        part = (keras.ops.cast(step, "float32") + 1) / (self.steps + 1)
        falling = (1 - part) / (1 - self.warm_up)
        if not self.warm_up:
            return self.peak * falling
        return self.peak * keras.ops.minimum(part / self.warm_up, falling)


def optimizer(peak, steps, warm_up, weight_decay):
    return keras_ft.CoupledSGD(
        WarmUpLinear(peak, warm_up, steps),
        momentum=0.9,
        nesterov=True,
        weight_decay=weight_decay,
    )


def measure(side, seed, epochs, peak, warm_up, weight_decay, **ft):
    """Return seconds and test accuracy after each epoch."""
    data = training_task.load_data(seed)
    teacher = training_task.load_teacher()
    training_task.use_precision(ft.get("precision", "float32"))
    keras.utils.set_random_seed(seed)
    student = training_task.make_student(data)
    shape = {"warm_up": warm_up, "weight_decay": weight_decay}
    steps = epochs * training_task.steps_per_epoch(data)
    clock = training_task.EpochClock(student, data.test)
    model, source, first = student, data, 0.0
    if side == "ft":
        source = cached(data, teacher, ft)
        paraphraser = paraphrase(teacher, source, ft, shape)
        first = clock.seconds
        model = distiller(teacher, student, paraphraser, ft)
    training_task.compiled(model, optimizer(peak, steps, **shape))
    training_task.fit(model, source, epochs=epochs, callbacks=[clock])
    last = clock.epochs[-1]
    return {
        "phase1_seconds": first,
        "epochs": clock.epochs,
        "seconds": last["seconds"],
        "test_accuracy": last["test_accuracy"],
        "accelerated": getattr(model, "accelerated", None),
        "says": f"{last['test_accuracy']:.2%} in {last['seconds']:.0f} s",
    }


def cached(data, teacher, ft):
    """Return the data, or a cache of them, whose making counts."""
    if not ft["views"]:
        return data
    return keras_ft.FeatureCache.build(
        None,
        teacher,
        data,
        logits=bool(ft["also"]),
        views=ft["views"],
        acceleration=ft["acceleration"],
        echo=None,
    )


def paraphrase(teacher, source, ft, shape):
    paraphraser = keras_ft.Paraphraser(rate=ft["rate"])
    phase1 = keras_ft.ParaphraserTrainer(
        teacher, paraphraser, acceleration=ft["acceleration"]
    )
    epoch = training_task.steps_per_epoch(source)
    steps = max(1, round(ft["paraphrase_epochs"] * epoch))
    phase1.compile(optimizer(ft["paraphrase_peak"], steps, **shape))
    training_task.fit(phase1, source, steps)
    return paraphraser


def distiller(teacher, student, paraphraser, ft):
    also = []
    if ft["also"]:
        also = [keras_ft.transfers.SoftTargets(beta=ft["also_beta"])]
    return keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        beta=ft["beta"],
        also=also,
        acceleration=ft["acceleration"],
    )


def recipe(side):
    """Return the settings of a side."""
    shared = {
        "peak": PEAK.value,
        "warm_up": WARM_UP.value,
        "weight_decay": DECAY.value,
    }
    if side == "plain":
        return shared
    return shared | {
        "acceleration": ACCELERATION.value,
        "precision": training_task.chosen_precision(PRECISION.value),
        "paraphrase_epochs": PHASE1.value,
        "paraphrase_peak": PHASE1_PEAK.value,
        "rate": RATE.value,
        "beta": BETA.value,
        "also": ALSO.value,
        "also_beta": ALSO_BETA.value if ALSO.value else 0.0,
        "views": VIEWS.value,
    }


def searched(runs, side):
    """Search the shortest length that reaches the target."""
    settings = recipe(side)
    tried = {}

    def reaches(epochs):
        run = runs.get(side=side, seed=SEED.value, epochs=epochs, **settings)
        tried[epochs] = run
        return run["test_accuracy"] >= TARGET.value

    start = {"plain": PLAIN_START.value, "ft": FT_START.value}[side]
    length = shortest(
        reaches, start, LEAST.value, MOST.value, walk=SEARCH.value == "walk"
    )
    confirmed = {
        seed: runs.get(side=side, seed=int(seed), epochs=length, **settings)
        for seed in CONFIRM.value
        if length is not None
    }
    return {
        "recipe": settings,
        "length": length,
        "tried": {n: tried[n] for n in sorted(tried)},
        "confirmed": confirmed,
    }


def shortest(reaches, start, least, most, walk=True):
    """Return the shortest length that reaches a target, or None.

    Believes that a longer schedule reaches what a shorter one does.

    Args:
        reaches: Whether a length does; called once for each that is tried.
        start: The length tried first.
        least, most: The bounds, included.
        walk: From the start one by one: fewest trials from a good guess.
            Otherwise doubling strides up, and halves.
    """
    low, high = least - 1, None  # too short; long enough
    length, stride = min(max(start, least), most), 1
    while high is None or high - low > 1:
        if reaches(length):
            high = length
            length = high - 1 if walk else (low + high) // 2
        else:
            low = length
            if low == most:
                return None
            if high is None:
                length = min(low + stride, most)
                stride *= 1 if walk else 2
            else:
                length = (low + high) // 2
    return high


def seconds_per_epoch(run):
    """Return median over a run's epochs, where it can be without the first."""
    ends = [epoch["seconds"] for epoch in run["epochs"]]
    if len(ends) == 1:
        return ends[0] - run["phase1_seconds"]
    pairs = zip(ends[1:], ends[:-1], strict=True)
    return statistics.median(end - begin for end, begin in pairs)


def table(results):
    sides, target = results["sides"], results["target"]
    lines = [
        f"# Seconds of training to {target:.0%} of the test images\n",
        f"{results['data']}, one seed for the search; the learning rate rises, "
        "falls linearly and is 0 at the end of a schedule. Nesterov SGD, "
        "momentum 0.9, the same for both sides. Seconds include compilation "
        "and phase 1, not evaluation. For each side the shortest schedule that "
        f"ends at the target. Goal: Factor Transfer {GOAL} times as fast.\n",
        "| training | epochs | seed | test accuracy | seconds | of it phase 1 "
        "| s per epoch, median |",
        "|---" * 7 + "|",
    ]
    for side, found in sides.items():
        rows = [(results["seed"], n, r) for n, r in found["tried"].items()]
        length = found["length"]
        rows += [(seed, length, r) for seed, r in found["confirmed"].items()]
        for seed, epochs, run in rows:
            bold = "**" * (epochs == length and seed == results["seed"])
            lines.append(
                f"| {LABELS[side]} | {bold}{epochs}{bold} | {seed} "
                f"| {run['test_accuracy']:.2%} "
                f"| {bold}{run['seconds']:.0f}{bold} "
                f"| {run['phase1_seconds']:.0f} "
                f"| {seconds_per_epoch(run):.1f} |"
            )
    lines.append("")
    if results["faster"]:
        lines.append(f"{results['faster']:.2f} times as fast.\n")
    for side, found in sides.items():
        words = (f"{k} {v}" for k, v in found["recipe"].items() if v != "")
        lines.append(f"- {LABELS[side]}: {', '.join(words)}.")
    return "\n".join(lines) + "\n"


def benchmark():
    runs = kept_runs.KeptRuns("time_to_accuracy", training_task.settings())
    sides = {side: searched(runs, side) for side in SIDES.value}
    found = [sides[side] for side in LABELS if side in sides]
    seconds = [f["tried"][f["length"]]["seconds"] for f in found if f["length"]]
    results = {
        "data": training_task.data_name(),
        "target": TARGET.value,
        "seed": SEED.value,
        "faster": seconds[0] / seconds[1] if len(seconds) == 2 else None,
        "sides": sides,
    }
    kept_runs.write("time_to_accuracy", results, table(results))


if __name__ == "__main__":
    kept_runs.start(benchmark, measure)
