"""One worker of a small training; prints what it ended with as JSON.

python train.py EPOCHS CHECKPOINT_DIR KIND, with TF_CONFIG set, where KIND is
"plain" (no batch normalization) or "noisy" (batch normalization and dropout).
CHECKPOINT_DIR may be empty.
"""

import hashlib
import json
import os
import sys

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")

import keras
import numpy as np
import tensorflow as tf
from keras import layers

import keras_ft

BATCH, STEPS = 8, 5


def network(channels, noisy):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(channels, 3, padding="same", kernel_regularizer="l2")(
        image
    )
    if noisy:
        x = layers.BatchNormalization(momentum=0.9)(x)
    x = layers.ReLU(name="features")(x)
    if noisy:
        x = layers.Dropout(0.2, seed=3)(x)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x))


def images():
    rng = np.random.default_rng(0)
    count = BATCH * STEPS
    pixels = rng.normal(size=(count, 8, 8, 3)).astype("float32")
    return pixels, rng.integers(0, 4, count)


def train_from(epoch):
    """Other batches each epoch, which depend on its number alone."""
    pixels, labels = map(tf.constant, images())

    def batches(number):
        order = tf.random.experimental.stateless_shuffle(
            tf.range(BATCH * STEPS), seed=tf.stack([number, 7])
        )
        data = tf.data.Dataset.from_tensor_slices(order)
        data = data.map(lambda i: (tf.gather(pixels, i), tf.gather(labels, i)))
        # Every class counts differently.
        data = data.map(lambda x, y: (x, y, 0.5 + tf.cast(y, "float32")))
        return data.batch(BATCH, drop_remainder=True)

    return tf.data.Dataset.range(epoch, 10**6).flat_map(batches)


def model_of(kind):
    keras.utils.set_random_seed(0)
    noisy = kind == "noisy"
    paraphraser = keras_ft.Paraphraser(0.5)
    paraphraser.trained = True
    teacher, student = network(8, noisy), network(4, noisy)
    model = keras_ft.FactorTransfer(
        teacher, student, paraphraser, beta=20.0, p=2
    )
    model.compile(
        keras_ft.CoupledSGD(0.02, momentum=0.9, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


def digest(model):
    state = [*model.variables, *model.optimizer.variables]
    content = b"".join(np.asarray(variable).tobytes() for variable in state)
    return hashlib.sha256(content).hexdigest()


def main(epochs, folder, kind):
    # The strategy must come before anything else of TensorFlow.
    strategy = keras_ft.multi_worker.strategy()
    validation = tf.data.Dataset.from_tensor_slices(images()).batch(9)
    arguments = {
        "steps_per_epoch": STEPS,
        "validation_data": validation,
        "epochs": epochs,
        "verbose": 0,
    }
    with strategy.scope():
        model = model_of(kind)
    history = keras_ft.multi_worker.fit(
        model, train_from, checkpoint_dir=folder or None, **arguments
    )
    result = {
        "digest": digest(model),
        "history": history.history,
        "epochs": history.epoch,
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(int(sys.argv[1]), *sys.argv[2:])
