"""Plain training against Factor Transfer on real CIFAR-10, in a few epochs.

    python benchmarks/cifar10_short_run.py --data_dir=DIR --teacher=FILE.npz

A pretrained ResNet-56 (PyTorch-named arrays, read by zoo.load_torch_resnet)
teaches a ResNet-20 with projection shortcuts: the official recipe cut to two
epochs of phase 1 and six of phase 2, learning rates falling linearly to 0.
Plain and FT start from the same weights and see the same batches. This is a
short run, not the paper's setting: it shows how fast the student learns.

Results are written after every epoch to `--out`/results.json, and a finished
stage is not run again.
"""

import platform
import time
from pathlib import Path

import keras
from absl import app
from absl import flags

import keras_ft
from keras_ft.artifacts import read_json
from keras_ft.artifacts import write_json
from keras_ft.data.normalization import IMAGENET

DATA_DIR = flags.DEFINE_string("data_dir", None, "Prepared TFDS folder.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet arrays (.npz).")
OUT = flags.DEFINE_string("out", "runs/cifar10_short_run", "Output folder.")
SEED = flags.DEFINE_integer("seed", 0, "Seed of weights, order, augmentation.")
PHASE1_EPOCHS = flags.DEFINE_integer("paraphrase_epochs", 2, "Phase 1.")
EPOCHS = flags.DEFINE_integer("epochs", 6, "Phase 2 and plain training.")


class Recorder(keras.callbacks.Callback):
    """Write the logs and the test accuracy of every epoch to disk."""

    def __init__(self, path: Path, stage: str, student=None, test=None):
        super().__init__()
        self.path, self.stage = path, stage
        self.student, self.test = student, test
        self.rows = []
        self.started = time.perf_counter()

    def on_epoch_end(self, epoch, logs=None):
        seconds = time.perf_counter() - self.started
        row = {"epoch": epoch + 1, "seconds": seconds, **(logs or {})}
        if self.test is not None:
            _, row["test_accuracy"] = self.student.evaluate(
                self.test, verbose=0
            )
        self.rows.append(row)
        results = read_json(self.path) if self.path.exists() else {}
        results[self.stage] = self.rows
        results["machine"] = {
            "processor": platform.machine(),
            "keras": keras.__version__,
            "backend": keras.backend.backend(),
        }
        write_json(self.path, results)
        print(self.stage, row, flush=True)
        self.started = time.perf_counter()


def finished(path: Path, stage: str, epochs: int) -> bool:
    return path.exists() and len(read_json(path).get(stage, [])) >= epochs


def make_student(classes: int) -> keras.Model:
    keras.utils.set_random_seed(SEED.value)
    student = keras_ft.zoo.resnet20(classes=classes)
    student.compile(
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return student


def train_paraphraser(out, data, teacher, recipe):
    paraphraser = recipe.paraphraser()
    results = out / "results.json"
    saved = out / "paraphraser.keras"
    if saved.exists() and finished(results, "paraphrase", PHASE1_EPOCHS.value):
        return keras.models.load_model(saved).layers[-1]
    keras.utils.set_random_seed(SEED.value)
    phase1 = recipe.paraphraser_trainer(teacher, paraphraser)
    phase1.compile(recipe.paraphrase.optimizer(data.steps_per_epoch))
    phase1.fit(
        data.train_from(0),
        steps_per_epoch=data.steps_per_epoch,
        epochs=PHASE1_EPOCHS.value,
        callbacks=[Recorder(results, "paraphrase")],
        verbose=0,
    )
    shape = teacher.get_layer("stage3").output.shape[1:]
    keras.Sequential([keras.Input(shape), paraphraser]).save(saved)
    return paraphraser


def train_student(stage, out, data, recipe, build):
    results = out / "results.json"
    if finished(results, stage, EPOCHS.value):
        return
    student = make_student(data.classes)
    model = build(student)
    model.compile(
        recipe.distill.optimizer(data.steps_per_epoch),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    recorder = Recorder(results, stage, student, data.test)
    model.fit(
        data.train_from(0),
        steps_per_epoch=data.steps_per_epoch,
        epochs=EPOCHS.value,
        callbacks=[recorder],
        verbose=0,
    )
    student.save(out / f"{stage}.keras")


def main(_):
    out = Path(OUT.value)
    out.mkdir(parents=True, exist_ok=True)
    data = keras_ft.data.load(
        "cifar10",
        batch_size=128,
        data_dir=DATA_DIR.value,
        seed=SEED.value,
        # As the pretrained network was trained, not the official recipe's.
        normalization=IMAGENET,
        validation_fraction=0.0,
    )
    teacher = keras_ft.zoo.load_torch_resnet(TEACHER.value)
    recipe = keras_ft.Recipe.preset("official").short(
        PHASE1_EPOCHS.value, EPOCHS.value
    )
    paraphraser = train_paraphraser(out, data, teacher, recipe)
    train_student(
        "ft",
        out,
        data,
        recipe,
        lambda student: recipe.distiller(teacher, student, paraphraser),
    )
    train_student("plain", out, data, recipe, lambda student: student)
    results = read_json(out / "results.json")
    print("epoch   plain      FT   (test accuracy)")
    for plain, ft in zip(results["plain"], results["ft"], strict=True):
        print(
            f"{plain['epoch']:>5} {plain['test_accuracy']:>7.2%} "
            f"{ft['test_accuracy']:>7.2%}"
        )


if __name__ == "__main__":
    flags.mark_flags_as_required(["data_dir", "teacher"])
    app.run(main)
