"""One batch size and precision in one process; the last line is JSON.

Started by step_time.py. With --only it runs one variant for a few steps and
tells the device's peak memory, which a process can only measure once.

What is timed is the compiled training step alone: the batch, and for
`ft_cached` the teacher's features of that batch, lie on the device already.
`Model.fit` adds the input pipeline and Keras' own work between steps.
"""

import json
import time

import jax
import keras
import numpy as np
from absl import app
from absl import flags
from keras import ops

import keras_ft

TEACHER = flags.DEFINE_string("teacher", "resnet56", "Network of the zoo.")
STUDENT = flags.DEFINE_string("student", "resnet20", "Network of the zoo.")
PRECISION = flags.DEFINE_string("precision", "float32", "Keras dtype policy.")
BATCH = flags.DEFINE_integer("batch", 128, "Images per step.")
ROUNDS = flags.DEFINE_integer("rounds", 40, "Timings of each variant.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps in one timing.")
WARM_UP = flags.DEFINE_integer("warm_up", 5, "Rounds before the first timing.")
ONLY = flags.DEFINE_string("only", None, "Measure this variant's memory.")

VARIANTS = ("plain", "ft_online", "ft_cached")
IMAGE = (32, 32, 3)
CLASSES = 10


class CachedFactorTransfer(keras_ft.FactorTransfer):
    """Factor Transfer with the teacher's features given, not computed.

    keras_ft has no feature cache yet. This holds the features of the one
    batch that is timed as a variable, so that they enter the compiled step as
    an argument: as a constant, XLA would also compute the factor in advance.
    """

    def hold(self, features):
        held = keras.Variable(
            features, trainable=False, dtype=features.dtype, name="features"
        )
        self._held = lambda: held  # a built model tracks no new variables

    @property
    def variables(self):
        return super().variables + [self._held()]

    def run_teacher(self, x):
        return [ops.stop_gradient(ops.convert_to_tensor(self._held()))], None


def models():
    """Return the three variants, with the same weights."""
    keras.utils.set_random_seed(0)
    teacher, student = (
        keras_ft.zoo.build(flag.value, CLASSES, IMAGE)
        for flag in (TEACHER, STUDENT)
    )
    paraphraser = keras_ft.Paraphraser(rate=0.5)
    paraphraser.trained = True  # its weights do not matter here
    online = keras_ft.FactorTransfer(teacher, student, paraphraser)
    cached = CachedFactorTransfer(
        teacher, student, paraphraser, online.translator
    )
    return dict(zip(VARIANTS, (student, online, cached), strict=True))


def batch():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(BATCH.value, *IMAGE)).astype("float32")
    labels = rng.integers(0, CLASSES, BATCH.value).astype("int32")
    return jax.device_put((images, labels))


class Step:
    """The compiled training step of a model, with a state of its own."""

    def __init__(self, model, data):
        optimizer = keras_ft.CoupledSGD(0.01, 0.9, weight_decay=5e-4)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(optimizer, loss)
        optimizer.build(model.trainable_variables)
        lists = (
            model.trainable_variables,
            model.non_trainable_variables,
            optimizer.variables,
            model.metrics_variables,
        )
        state = tuple([v.value for v in variables] for variables in lists)
        # The step reuses its state's memory; the variants share weights.
        self.state = jax.tree.map(jax.numpy.copy, state)
        self.data = data
        started = time.perf_counter()
        step = jax.jit(model.train_step, donate_argnums=0)
        self.compiled = step.lower(self.state, data).compile()
        self.compile_seconds = time.perf_counter() - started

    def run(self, steps):
        """Return seconds per step over so many steps, result waited for."""
        jax.block_until_ready(self.state)
        started = time.perf_counter()
        for _ in range(steps):
            self.logs, self.state = self.compiled(self.state, self.data)
        jax.block_until_ready(self.state)
        return (time.perf_counter() - started) / steps


def summary(step, seconds):
    low, median, high = np.quantile(seconds, (0.1, 0.5, 0.9))
    loss = float(step.logs["loss"])
    assert np.isfinite(loss), loss
    cost = step.compiled.cost_analysis() or {}
    return {
        "median_ms": 1e3 * median,
        "minimum_ms": 1e3 * min(seconds),
        "p10_ms": 1e3 * low,
        "p90_ms": 1e3 * high,
        "images_per_second": BATCH.value / median,
        "compile_seconds": step.compile_seconds,
        "gigaflops_per_step": cost.get("flops", 0.0) / 1e9,
        "loss": loss,
    }


def timings(steps):
    """Time each variant in every round, in turning order."""
    for step in steps.values():
        step.run(1)
    # Given or computed, the teacher's features are the same.
    losses = [float(steps[name].logs["loss"]) for name in VARIANTS[1:]]
    np.testing.assert_allclose(*losses, rtol=1e-3)
    for _ in range(WARM_UP.value):
        for step in steps.values():
            step.run(STEPS.value)
    seconds = {name: [] for name in steps}
    names = list(steps)
    for turn in range(ROUNDS.value):
        start = turn % len(names)
        for name in names[start:] + names[:start]:
            seconds[name].append(steps[name].run(STEPS.value))
    return {name: summary(steps[name], seconds[name]) for name in names}


def main(_):
    keras.config.set_dtype_policy(PRECISION.value)
    device = jax.devices()[0]
    made, data = models(), batch()
    cached = made["ft_cached"]
    features = jax.jit(lambda x: made["ft_online"].run_teacher(x)[0][0])
    cached.hold(features(data[0]))
    if ONLY.value:
        Step(made[ONLY.value], data).run(STEPS.value)
        peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
        print(json.dumps({"peak_bytes": peak}))
        return
    steps = {name: Step(model, data) for name, model in made.items()}
    results = {
        "device": device.device_kind,
        "platform": device.platform,
        "measures_memory": bool(device.memory_stats()),
        "jax": jax.__version__,
        "keras": keras.__version__,
        "variants": timings(steps),
    }
    print(json.dumps(results))


if __name__ == "__main__":
    app.run(main)
