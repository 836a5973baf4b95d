"""The task of the benchmarks that train: data, teacher, student, clock."""

import json
import sys
import time

import kept_runs
import keras
import numpy as np
from absl import flags

import keras_ft
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.data.normalization import IMAGENET

DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string(
    "teacher", None, "A trained ResNet as arrays (.npz), or a .keras file."
)
STUDENT = flags.DEFINE_string("student", "resnet20", "A network of the zoo.")
BATCH = flags.DEFINE_integer("batch", 128, "Images per step.", lower_bound=1)
STEPS = flags.DEFINE_integer(
    "steps", None, "Cut epochs to so many steps, to try a script out."
)


@flags.multi_flags_validator(
    ["teacher", "toy"], "--teacher=FILE is needed, or --toy."
)
def _has_a_teacher(values):
    return bool(values["teacher"] or values["toy"])


def settings():
    """Return what every run depends on, for `KeptRuns`."""
    if kept_runs.TOY.value:
        return {"toy": True, "steps": STEPS.value}
    return {
        "teacher": TEACHER.value,
        "student": STUDENT.value,
        "batch": BATCH.value,
        "steps": STEPS.value,
    }


def data_name():
    """Return the name of what `load_data` loads."""
    return "Fashion-MNIST" if kept_runs.TOY.value else "CIFAR-10"


def load_data(seed=0, **settings):
    """Load CIFAR-10 as the teacher knows it, in whole; or the toy's."""
    if kept_runs.TOY.value:
        settings.setdefault("train_examples", 256)
        size = min(BATCH.value, 32)
        return keras_ft.data.load("fashion_mini", size, seed=seed, **settings)
    arrays = TEACHER.value is not None and TEACHER.value.endswith(".npz")
    settings.setdefault("validation_fraction", 0.0)
    return keras_ft.data.load(
        "cifar10",
        BATCH.value,
        DATA_DIR.value,
        seed=seed,
        normalization=IMAGENET if arrays else None,
        **settings,
    )


def load_teacher():
    """Load the teacher in float32. Call it before `use_precision`."""
    if kept_runs.TOY.value:
        return keras_ft.zoo.pretrained("fashion_mini")
    if TEACHER.value.endswith(".npz"):
        return keras_ft.zoo.load_torch_resnet(TEACHER.value)
    return keras.models.load_model(TEACHER.value)


def chosen_precision(choice="auto"):
    """Return a dtype policy; "auto" is bfloat16 where that is faster."""
    if choice != "auto":
        return choice
    return "mixed_bfloat16" if gains_from_bfloat16() else "float32"


def use_precision(precision):
    """Make everything from now on compute so."""
    keras.config.set_dtype_policy(precision)


def make_student(data):
    name = "resnet8" if kept_runs.TOY.value else STUDENT.value
    return keras_ft.zoo.build(name, data.classes, data.input_shape)


def compiled(model, optimizer):
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def steps_per_epoch(source):
    """Return those of data or of a cache; fewer with `--steps`."""
    return min(source.steps_per_epoch, STEPS.value or source.steps_per_epoch)


def fit(model, source, steps=None, epochs=1, callbacks=()):
    """Train for epochs of so many steps, from the source's first batch on."""
    model.fit(
        source.train_from(0),
        steps_per_epoch=steps or steps_per_epoch(source),
        epochs=epochs,
        callbacks=list(callbacks),
        verbose=0,
    )


class EpochClock(keras.callbacks.Callback):
    """Seconds since it was made, without those spent on evaluation.

    Args:
        student: Evaluated after every epoch.
        test: Batches to evaluate on.

    Attributes:
        epochs: For each: seconds so far, loss, test accuracy.
    """

    def __init__(self, student, test):
        super().__init__()
        self.student, self.test = student, test
        self.epochs = []
        self._started, self._aside = time.perf_counter(), 0.0

    @property
    def seconds(self):
        return time.perf_counter() - self._started - self._aside

    def on_epoch_end(self, epoch, logs=None):
        seconds, begun = self.seconds, time.perf_counter()
        row = {"epoch": epoch + 1, "seconds": seconds, "loss": logs["loss"]}
        row["test_accuracy"] = accuracy(self.student, self.test)
        self.epochs.append(row)
        print(json.dumps(row), file=sys.stderr, flush=True)
        self._aside += time.perf_counter() - begun


def accuracy(student, test):
    """Return part of the test images that are classified right."""
    labels = np.concatenate([y.numpy() for _, y in test])
    outputs = student.predict(test, verbose=0)
    return float(np.mean(outputs.argmax(-1) == labels))
