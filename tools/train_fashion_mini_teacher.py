"""Train the teacher that is shipped for the embedded data.

    PYTHONPATH=. python tools/train_fashion_mini_teacher.py --source DIR
        --out keras_ft/zoo/weights [--epochs 8] [--seed 0]

A ResNet-20 learns from the 55,000 official Fashion-MNIST training images that
are not embedded: every embedded image is new to it, as a user's images are to
a teacher from elsewhere. The 5,000 embedded training images and the 10,000
official test images are looked at once, at the end.

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
        augment="crop+flip" if train else "none",
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


def train(model: Any, train_set: IndexedBatches, epochs: int) -> None:
    """Train with a learning rate that falls linearly to 0."""
    rate = keras.optimizers.schedules.PolynomialDecay(
        LEARNING_RATE, epochs * train_set.steps, 0.0
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


def provenance(epochs: int, seed: int) -> dict[str, Any]:
    """Return what was trained, how, on what and with which versions."""
    return {
        "name": "fashion_mini",
        "network": "zoo.resnet20(classes=10, input_shape=(28, 28, 1))",
        "data": {
            "name": "Fashion-MNIST, MIT, (c) 2017 Zalando SE",
            "trained_on": "the 55,000 official training images that are not "
            "embedded",
            "validated_on": "the 5,000 embedded training images, which it "
            "never learned from",
            "sha256_decompressed": fashion_mnist_files.SHA256_DECOMPRESSED,
        },
        "recipe": {
            "optimizer": "SGD",
            "learning_rate": LEARNING_RATE,
            "schedule": "linear to 0, per step",
            "momentum": MOMENTUM,
            "nesterov": False,
            "weight_decay": WEIGHT_DECAY,
            "weight_decay_form": "coupled, all trainable variables",
            "batch_size": BATCH_SIZE,
            "epochs": epochs,
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
        f"--out keras_ft/zoo/weights --epochs {epochs} --seed {seed}",
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    flags = parser.parse_args()
    facts = provenance(flags.epochs, flags.seed)
    keras.utils.set_random_seed(flags.seed)
    model = network()
    images, labels = fashion_mnist_files.read_split(flags.source, "train")
    unseen = np.zeros(len(labels), bool)
    unseen[fashion_mini.read()["train_indices"]] = True
    began = time.monotonic()
    train_set = batches(
        images[~unseen], labels[~unseen], flags.seed, train=True
    )
    train(model, train_set, flags.epochs)
    facts["training_seconds"] = round(time.monotonic() - began)
    facts["validation_accuracy"] = accuracy(
        model, images[unseen], labels[unseen]
    )
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
