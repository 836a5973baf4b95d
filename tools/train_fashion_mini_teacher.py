"""Train the teacher that is shipped for the embedded data.

    PYTHONPATH=. python tools/train_fashion_mini_teacher.py --source DIR
        --out keras_ft/zoo/weights [--epochs 6] [--finish_epochs 1] [--seed 0]

A ResNet-20 learns from the 55,000 official Fashion-MNIST training images that
are not embedded, and the 5,000 embedded ones tell how well. Then, at a tenth
of the learning rate, it goes over all 60,000 once more. The 10,000 official
test images are looked at once, at the end.

Writes `fashion_mini.keras` (plain Keras, not compiled) and
`fashion_mini.json` (provenance and accuracy).
"""

import argparse
import sys
import time
from pathlib import Path
from typing import Any

import fashion_mnist_files
import keras
import numpy as np
import tensorflow as tf

from keras_ft import artifacts
from keras_ft import zoo
from keras_ft.data import fashion_mini
from keras_ft.data import normalization
from keras_ft.data.batches import IndexedBatches
from keras_ft.data.batches import split_in_memory

INPUT_SHAPE = (28, 28, 1)
BATCH_SIZE = 128
LEARNING_RATE = 0.1
FINISH_LEARNING_RATE = 0.01
MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4


def batches(
    images: np.ndarray, labels: np.ndarray, seed: int = 0, train: bool = False
) -> IndexedBatches:
    return IndexedBatches(
        split=split_in_memory(images, labels),
        image_shape=INPUT_SHAPE,
        normalization=normalization.FASHION_MNIST,
        batch_size=BATCH_SIZE,
        seed=seed,
        augment=train,
        drop_remainder=train,
    )


def network() -> Any:
    model = zoo.resnet20(
        classes=10, input_shape=INPUT_SHAPE, name="fashion_mini_teacher"
    )
    # Coupled weight decay: its gradient is WEIGHT_DECAY * variable. Set on
    # the variables, it does not end up in the saved layers' configuration.
    for variable in model.trainable_variables:
        variable.regularizer = keras.regularizers.L2(WEIGHT_DECAY / 2)
    return model


def train(
    model: Any, train_set: IndexedBatches, epochs: int, learning_rate: float
) -> None:
    """Train with a learning rate that falls linearly to 0."""
    rate = keras.optimizers.schedules.PolynomialDecay(
        learning_rate, epochs * train_set.steps, 0.0
    )
    model.compile(
        keras.optimizers.SGD(rate, momentum=MOMENTUM),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
        jit_compile=False,
    )
    model.fit(
        train_set.stream(0),
        steps_per_epoch=train_set.steps,
        epochs=epochs,
        shuffle=False,  # The stream is shuffled; Keras warns otherwise.
        verbose=2,
    )


def accuracy(model: Any, images: np.ndarray, labels: np.ndarray) -> float:
    logits = model.predict(batches(images, labels).ordered(), verbose=0)
    return float(np.mean(np.argmax(logits, -1) == labels))


def save(model: Any, out: Path, facts: dict[str, Any]) -> None:
    """Write model and facts, each whole or not at all."""
    plain = network()
    plain.set_weights(model.get_weights())
    path = out / "fashion_mini.keras"
    with artifacts.atomic_path(path) as temporary:
        plain.save(temporary)
    facts["bytes"] = path.stat().st_size
    facts["sha256"] = artifacts.sha256(path)
    artifacts.write_json(out / "fashion_mini.json", facts)


def provenance(epochs: int, finish_epochs: int, seed: int) -> dict[str, Any]:
    """Return what was trained, how, on what and with which versions."""
    return {
        "name": "fashion_mini",
        "network": "zoo.resnet20(classes=10, input_shape=(28, 28, 1))",
        "data": {
            "name": "Fashion-MNIST, MIT, (c) 2017 Zalando SE",
            "trained_on": "all 60,000 official training images: first the "
            "55,000 that are not embedded, then all of them",
            "validated_on": "the 5,000 embedded training images, before the "
            "network saw them",
            "sha256_decompressed": fashion_mnist_files.SHA256_DECOMPRESSED,
        },
        "recipe": {
            "optimizer": "SGD",
            "learning_rate": LEARNING_RATE,
            "finish_learning_rate": FINISH_LEARNING_RATE,
            "schedule": "linear to 0, per step",
            "momentum": MOMENTUM,
            "nesterov": False,
            "weight_decay": WEIGHT_DECAY,
            "weight_decay_form": "coupled, all trainable variables",
            "batch_size": BATCH_SIZE,
            "epochs": epochs,
            "finish_epochs": finish_epochs,
            "augmentation": "pad 4, random crop, horizontal flip",
            "seed": seed,
        },
        "normalization": {
            "mean": normalization.FASHION_MNIST.mean,
            "std": normalization.FASHION_MNIST.std,
        },
        "versions": {
            "python": sys.version.split()[0],
            "keras": keras.__version__,
            "tensorflow": tf.__version__,
            "numpy": np.__version__,
        },
        "command": "python tools/train_fashion_mini_teacher.py --source DIR "
        f"--out keras_ft/zoo/weights --epochs {epochs} "
        f"--finish_epochs {finish_epochs} --seed {seed}",
    }


def first_stage(flags: argparse.Namespace, model: Any) -> dict[str, Any]:
    """Train on the images that are not embedded, or takes an earlier run."""
    if flags.start is not None:
        done = keras.models.load_model(flags.start / "fashion_mini.keras")
        model.set_weights(done.get_weights())
        before = artifacts.read_json(flags.start / "fashion_mini.json")
        return {
            key: before[key]
            for key in ("validation_accuracy", "training_seconds")
        }
    images, labels = fashion_mnist_files.read_split(flags.source, "train")
    used = np.ones(len(labels), bool)
    used[fashion_mini.read()["train_indices"]] = False
    began = time.monotonic()
    train_set = batches(images[used], labels[used], flags.seed, train=True)
    train(model, train_set, flags.epochs, LEARNING_RATE)
    return {
        "validation_accuracy": accuracy(model, images[~used], labels[~used]),
        "training_seconds": round(time.monotonic() - began),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--finish_epochs", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--start",
        type=Path,
        help="folder with the result of an earlier first stage",
    )
    flags = parser.parse_args()
    facts = provenance(flags.epochs, flags.finish_epochs, flags.seed)
    keras.utils.set_random_seed(flags.seed)
    model = network()
    facts |= first_stage(flags, model)
    began = time.monotonic()
    images, labels = fashion_mnist_files.read_split(flags.source, "train")
    everything = batches(images, labels, flags.seed + 1, train=True)
    train(model, everything, flags.finish_epochs, FINISH_LEARNING_RATE)
    facts["training_seconds"] += round(time.monotonic() - began)
    facts["test_accuracy_official_10000"] = accuracy(
        model, *fashion_mnist_files.read_split(flags.source, "test")
    )
    embedded = fashion_mini.read()
    facts["test_accuracy_embedded_2000"] = accuracy(
        model, embedded["test_images"], embedded["test_labels"]
    )
    save(model, flags.out, facts)
    print({k: v for k, v in facts.items() if "accuracy" in k})


if __name__ == "__main__":
    main()
