"""Trains both phases on a few random images; prints every log as JSON."""

import json
import sys

import keras
import numpy as np
from keras import layers

import keras_ft

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


def weights(layer):
    return [keras.ops.convert_to_numpy(v).tolist() for v in layer.variables]


def main(file):
    images = RNG.normal(size=(24, 8, 8, 3)).astype("float32")
    labels = RNG.integers(0, 4, 24)
    teacher, student = network(8), network(4)
    paraphraser = keras_ft.Paraphraser(0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    model = keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        also=[keras_ft.transfers.SoftTargets(beta=0.5)],
    )
    for layer in (teacher, student, paraphraser, model.translator):
        fill(layer)
    before = weights(teacher)
    phase1.compile(keras.optimizers.SGD(0.1))
    logs = dict(phase1.fit(images, epochs=2, shuffle=False, verbose=0).history)
    model.compile(
        keras_ft.CoupledSGD(0.1, 0.9, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    phase2 = model.fit(
        images,
        labels,
        batch_size=8,
        epochs=3,
        shuffle=False,
        validation_data=(images, labels),
        verbose=0,
    ).history
    assert weights(teacher) == before
    model.save(file)
    loaded = keras.models.load_model(file)
    np.testing.assert_array_equal(
        loaded.predict(images, verbose=0), model.predict(images, verbose=0)
    )
    logs = {"phase1_loss": logs["loss"], **phase2}
    print(json.dumps({"backend": keras.backend.backend(), "logs": logs}))


if __name__ == "__main__":
    main(sys.argv[1])
