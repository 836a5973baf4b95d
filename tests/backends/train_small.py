"""Trains both phases on a few random images, or uses what that left.

    python train_small.py train FOLDER
    python train_small.py predict MODEL.keras PREDICTIONS.npy

`train` leaves in FOLDER: logs.json, weights.npz (student, translator,
paraphraser), model.keras, predictions.npy of the student.
"""

import json
import sys
from pathlib import Path

import keras
import numpy as np
from keras import layers

import keras_ft

IMAGES = np.random.default_rng(1).normal(size=(24, 8, 8, 3)).astype("float32")
LABELS = np.random.default_rng(2).integers(0, 4, 24)
# The official 500 belongs to factors 8 times as large. Here it makes training
# unstable, and then rounding grows into other numbers within a few steps.
BETA = 50.0
RNG = np.random.default_rng(0)


def network(channels):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(channels, 3, padding="same", kernel_regularizer="l2")(
        image
    )
    x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU(name="features")(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x))


def fill(layer):
    """NumPy's numbers: one Keras seed gives other weights per backend."""
    for variable in layer.trainable_variables:
        values = RNG.normal(size=variable.shape, scale=0.2)
        variable.assign(values.astype("float32"))


def weights(*parts):
    return [keras.ops.convert_to_numpy(v) for p in parts for v in p.variables]


def train(folder):
    teacher, student = network(8), network(4)
    paraphraser = keras_ft.Paraphraser(0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    model = keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        beta=BETA,
        also=[keras_ft.transfers.SoftTargets(beta=0.5)],
    )
    for layer in (teacher, student, paraphraser, model.translator):
        fill(layer)
    before = weights(teacher)
    phase1.compile(keras.optimizers.SGD(0.1))
    logs = phase1.fit(IMAGES, epochs=2, shuffle=False, verbose=0).history
    model.compile(
        keras_ft.CoupledSGD(0.01, 0.9, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    suggested = keras_ft.suggest_beta(model, IMAGES, LABELS).beta
    phase2 = model.fit(
        IMAGES,
        LABELS,
        batch_size=8,
        epochs=3,
        shuffle=False,
        validation_data=(IMAGES, LABELS),
        verbose=0,
    ).history
    for old, new in zip(before, weights(teacher), strict=True):
        np.testing.assert_array_equal(old, new)
    phase1_logs = {f"phase1_{name}": values for name, values in logs.items()}
    logs = {**phase1_logs, "beta": [suggested], **phase2}
    (folder / "logs.json").write_text(json.dumps(logs))
    np.savez(
        folder / "weights.npz",
        *weights(student, model.translator, paraphraser),
    )
    model.save(folder / "model.keras")
    predict(folder / "model.keras", folder / "predictions.npy")
    np.testing.assert_array_equal(
        np.load(folder / "predictions.npy"), model.predict(IMAGES, verbose=0)
    )


def predict(file, predictions):
    model = keras.models.load_model(file)
    np.save(predictions, model.predict(IMAGES, verbose=0))
    # A file from the other backend also goes on training.
    model.fit(IMAGES, LABELS, batch_size=8, verbose=0)


if __name__ == "__main__":
    {"train": train, "predict": predict}[sys.argv[1]](*map(Path, sys.argv[2:]))
    print(keras.backend.backend(), "tensorflow" in sys.modules)
