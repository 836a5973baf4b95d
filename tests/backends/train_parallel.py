"""Trains both phases under DataParallel if JAX shows several devices.

    python train_parallel.py RESULT.npz [PROCESS ADDRESS]

With PROCESS, 0 or 1, two processes of one device each meet at ADDRESS, and
each feeds its half of every batch.
"""

import sys

import keras
import numpy as np
from train_small import BETA
from train_small import IMAGES
from train_small import LABELS
from train_small import fill
from train_small import network
from train_small import weights

import keras_ft

BATCH = 8


def main(result, process=None, address=None):
    processes = 1 if process is None else 2
    if process is not None:
        keras.distribution.initialize(address, processes, int(process))
    devices = keras.distribution.list_devices("cpu")
    if len(devices) > 1:
        # Keras can share out tf.data only; each process brings its own half.
        parallel = keras.distribution.DataParallel(
            devices=devices, auto_shard_dataset=False
        )
        keras.distribution.set_distribution(parallel)
    print("devices:", len(devices))

    keras.utils.set_random_seed(0)
    teacher, student = network(8), network(4)
    paraphraser = keras_ft.Paraphraser(0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    model = keras_ft.FactorTransfer(teacher, student, paraphraser, beta=BETA)
    for layer in (teacher, student, paraphraser, model.translator):
        fill(layer)
    before = weights(teacher)
    share = slice(None) if process is None else int(process)
    images, labels = (
        own(array, processes, share) for array in (IMAGES, LABELS)
    )
    arguments = {
        "batch_size": BATCH // processes,
        "epochs": 3,
        "shuffle": False,
        "verbose": 0,
    }
    phase1.compile(keras.optimizers.SGD(0.1))
    first = phase1.fit(images, **arguments).history
    model.compile(
        keras_ft.CoupledSGD(0.01, 0.9, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    middle = weights(teacher, paraphraser)
    logs = model.fit(images, labels, **arguments).history
    logs["phase1_loss"] = first["loss"]
    assert_same(before, weights(teacher))
    assert_same(middle, weights(teacher, paraphraser))
    found = weights(teacher, student, model.translator, paraphraser)
    np.savez(result, *found, **logs)


def assert_same(before, after):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def own(array, processes, share):
    """This process's rows of every batch."""
    halves = array.reshape(-1, processes, BATCH // processes, *array.shape[1:])[
        :, share
    ]
    return halves.reshape(-1, *array.shape[1:])


if __name__ == "__main__":
    main(*sys.argv[1:])
