"""One worker, or one device, that trains all that must end alike.

python compared.py EPOCHS KIND..., with TF_CONFIG set or, for one device and
Keras' own `fit`, without. Prints for each of these kinds of `MODELS` the
trained weights, every other variable of the model and the history, as JSON.
"""

import json
import os
import sys

import keras
import numpy as np
import tensorflow as tf
import train  # Beside this file; it settles TensorFlow's environment.
from keras import layers

import keras_ft


def network(channels, norm):
    """A classifier; `norm` is None or what batch normalization gets."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(channels, 3, padding="same", kernel_regularizer="l2")(
        image
    )
    if norm is not None:
        x = layers.BatchNormalization(momentum=0.9, **norm)(x)
    x = layers.ReLU(name="features")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x))


SYNCHRONIZED = {"synchronized": True}


def plain(norm=None):
    return network(4, norm)


def factor_transfer(norm=None, also=()):
    paraphraser = keras_ft.Paraphraser(0.5)
    paraphraser.trained = True
    # The teacher's own batch normalization must stay as it is.
    return keras_ft.FactorTransfer(
        network(8, {}),
        network(4, norm),
        paraphraser,
        beta=20.0,
        # |d| has a jump in its gradient, where the last bits decide.
        p=2,
        also=also,
    )


def phase_1():
    paraphraser = keras_ft.Paraphraser(0.5)
    return keras_ft.ParaphraserTrainer(network(8, {}), paraphraser, loss="l2")


MODELS = {
    "plain": plain,
    "plain, synchronized": lambda: plain(SYNCHRONIZED),
    "phase 1": phase_1,
    "FT": factor_transfer,
    "FT, synchronized": lambda: factor_transfer(SYNCHRONIZED),
    "FT+KD": lambda: factor_transfer(also=[keras_ft.transfers.SoftTargets()]),
    "FT, few labels": factor_transfer,
}


def without_some_labels(images, labels, weights):
    """Take labels from five of eight images: four of the first worker's."""
    known = tf.constant([False, False, False, False, True, True, True, False])
    return images, tf.where(known, labels, -1), weights


def few_labels_from(epoch):
    return train.train_from(epoch).map(without_some_labels)


def compiled(kind):
    keras.utils.set_random_seed(0)
    model = MODELS[kind]()
    loss = keras.losses.SparseCategoricalCrossentropy(
        from_logits=True, ignore_class=-1 if "few labels" in kind else None
    )
    optimizer = keras_ft.CoupledSGD(0.02, momentum=0.9, weight_decay=1e-3)
    if kind == "phase 1":
        model.compile(optimizer)
    else:
        model.compile(optimizer, loss, metrics=["accuracy"])
    return model


def main(epochs, *kinds):
    workers = "TF_CONFIG" in os.environ
    # The strategy must come before anything else of TensorFlow.
    strategy = keras_ft.multi_worker.strategy() if workers else None
    arguments = {
        "steps_per_epoch": train.STEPS,
        "validation_data": tf.data.Dataset.from_tensor_slices(
            train.images()
        ).batch(9),
        "epochs": epochs,
        "verbose": 0,
    }
    results = {}
    for kind in kinds:
        if workers:
            with strategy.scope():
                model = compiled(kind)
        else:
            model = compiled(kind)
        teacher = getattr(model, "teacher", None)
        frozen = [] if teacher is None else values(teacher.variables)
        start = few_labels_from if "few labels" in kind else train.train_from
        if workers:
            history = keras_ft.multi_worker.fit(model, start, **arguments)
        else:
            history = model.fit(start(0), **arguments)
        if teacher is not None:
            assert frozen == values(teacher.variables)
        results[kind] = {
            "trained": values(model.trainable_variables),
            "state": values(model.non_trainable_variables),
            "history": history.history,
        }
    print(json.dumps(results))


def values(variables):
    # Without the seeds of generators, which are no weights.
    found = (np.asarray(v) for v in variables)
    return [v.tolist() for v in found if v.dtype.kind == "f"]


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
