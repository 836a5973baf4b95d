"""Make the files that stand for an earlier version of the package.

`610c393.tar.xz` was made by this script with the package as it was at commit
610c393; later versions must read its files, so they are never made anew. To see
where they came from:

    mkdir ../earlier && git archive 610c393 keras_ft | tar x -C ../earlier
    PYTHONPATH=../earlier python tests/earlier_versions/make_files.py OUT.tar.xz

It uses internals of that commit, and runs with no other. The files:

- `factor_transfer.keras`, `distiller.keras`, `paraphraser_trainer.keras`,
  `paraphraser.keras`, `student.keras`: trained for an epoch; `batch.npz` and
  `answers.npz` hold a batch and what they say of it.
- `networks/`: the teacher and the student that the runs were started from.
- `half/`: the run of `commands.json`'s "half", killed by SIGKILL after the
  first of three epochs of phase 2. `answers.npz` holds under "whole" what the
  student of the same run, never killed, says of `test_images`.
- `done/`: a finished run with two baselines and its report; under "done" what
  its student says of `test_images`.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

# As in tests/conftest.py, where the half-done run is continued.
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
import tensorflow as tf
from answers import answers

import keras_ft
from keras_ft import transfers
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.cli.main import main

_SHARED = [
    "distill",
    "--teacher=networks/teacher.keras",
    "--student=networks/student.keras",
    "--train_examples=96",
    "--batch_size=16",
    "--learning_rate=0.02",
    "--beta=20",
    "--paraphrase_epochs=1",
]
COMMANDS = {
    # Without acceleration, whose numbers depend on the processor.
    "half": [*_SHARED, "--epochs=3", "--acceleration=none"],
    "done": [
        *_SHARED,
        "--epochs=2",
        "--baselines=alone,kd",
        "--quantization=none,float16",
    ],
}
LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def network(shape, classes, channels, stride=1, dropout=0.0, name=None):
    """A small classifier with batch normalization."""
    image = keras.Input(shape)
    x = keras.layers.Conv2D(channels, 5, strides=stride, padding="same")(image)
    x = keras.layers.BatchNormalization(momentum=0.9)(x)
    x = keras.layers.ReLU(name="features")(x)
    if dropout:
        x = keras.layers.Dropout(dropout, seed=3)(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, keras.layers.Dense(classes)(x), name=name)


def optimizer():
    return keras_ft.CoupledSGD(0.05, momentum=0.9, weight_decay=5e-4)


def make_models(out: Path) -> dict[str, np.ndarray]:
    """Train and save every kind of model; return what they say."""
    keras.utils.set_random_seed(0)
    random = np.random.default_rng(0)
    labels = random.integers(0, 4, 64).astype("int32")
    images = random.normal(size=(64, 8, 8, 3)).astype("float32")
    images += labels[:, None, None, None] / 2
    teacher = network((8, 8, 3), 4, 8, name="teacher")
    teacher.compile(optimizer(), LOSS)
    teacher.fit(images, labels, epochs=2, verbose=0)

    paraphraser = keras_ft.Paraphraser(rate=0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    phase1.compile(optimizer())
    phase1.fit(images, epochs=1, verbose=0)
    models = {"paraphraser_trainer": phase1}
    models["paraphraser"] = keras.Sequential(
        [keras.Input((8, 8, 8)), paraphraser]
    )
    models["factor_transfer"] = keras_ft.FactorTransfer(
        teacher,
        network((8, 8, 3), 4, 4, name="student"),
        paraphraser,
        keras_ft.Translator(batch_normalization=True),
        beta=50.0,
        also=[transfers.SoftTargets(temperature=4.0, beta=0.5)],
        acceleration="none",
    )
    models["distiller"] = keras_ft.Distiller(
        teacher,
        network((8, 8, 3), 4, 4, stride=2, name="smaller_student"),
        [
            transfers.FactorMatch(
                paraphraser, p=2, reduction="relative", form="attention"
            ),
            transfers.AttentionTransfer(beta=10.0),
            transfers.Hint(beta=1.0),
        ],
        task_weight=0.5,
        acceleration="none",
    )
    for name in ("factor_transfer", "distiller"):
        models[name].compile(optimizer(), LOSS, metrics=["accuracy"])
        models[name].fit(images, labels, epochs=1, verbose=0)
    models["student"] = models["factor_transfer"].student
    for name, model in models.items():
        model.save(out / f"{name}.keras")
    batch = {"images": images[:16], "labels": labels[:16]}
    np.savez(out / "batch.npz", **batch)
    return answers(models, **batch)


def make_networks(data) -> None:
    """The two networks that the runs start from; the teacher is trained."""
    Path("networks").mkdir()
    keras.utils.set_random_seed(1)
    teacher = network((28, 28, 1), 10, 8, stride=4, name="teacher")
    teacher.compile(optimizer(), LOSS)
    teacher.fit(
        data.train, epochs=4, steps_per_epoch=data.steps_per_epoch, verbose=0
    )
    # Without its optimizer, which no run reads.
    plain = network((28, 28, 1), 10, 8, stride=4, name="teacher")
    plain.set_weights(teacher.get_weights())
    plain.save("networks/teacher.keras")
    # Dropout, whose random state a checkpoint must hold.
    student = network((28, 28, 1), 10, 4, stride=4, dropout=0.2, name="student")
    student.save("networks/student.keras")


def run(name: str, folder: str) -> None:
    assert main([*COMMANDS[name], f"--run_dir={folder}"]) == 0


def run_until_killed() -> None:
    """The half-done run, which ends after an epoch of phase 2."""
    commit = EpochCheckpoint.on_epoch_end

    def killed(self, epoch, logs=None):
        commit(self, epoch, logs)
        if self.folder.name == "distil":
            os.kill(os.getpid(), signal.SIGKILL)

    EpochCheckpoint.on_epoch_end = killed
    run("half", "half")


def anonymous(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    """Leave out who made the files."""
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    return entry


def make_all() -> None:
    """Make every file, in the current folder."""
    said = make_models(Path())
    data = keras_ft.data.load("fashion_mini", train_examples=1024)
    make_networks(data)
    Path("commands.json").write_text(json.dumps(COMMANDS, indent=1) + "\n")
    killed = subprocess.run([sys.executable, __file__, "--killed"])
    assert killed.returncode == -signal.SIGKILL
    run("done", "done")
    run("half", "whole")
    pixels = data.examples("test", 16)[0]
    said["test_images"] = data.normalization.apply(pixels)
    for folder in ("whole", "done"):
        student = keras.models.load_model(f"{folder}/student.keras")
        said[folder] = student.predict(said["test_images"], verbose=0)
    np.savez("answers.npz", **said)
    shutil.rmtree("whole")


if __name__ == "__main__":
    # As in tests/conftest.py.
    tf.config.experimental.enable_op_determinism()
    if sys.argv[1] == "--killed":
        run_until_killed()
    else:
        archive = Path(sys.argv[1]).resolve()
        with tempfile.TemporaryDirectory() as folder:
            os.chdir(folder)
            make_all()
            with tarfile.open(archive, "w:xz") as file:
                file.add(".", filter=anonymous)
