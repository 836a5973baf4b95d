"""A class per pixel on two replicas."""

import contextlib
import functools

import keras
import numpy as np
import pytest

from keras_ft import FactorTransfer
from keras_ft import Paraphraser

cell = functools.partial(pytest.mark.cell, where="MirroredStrategy")
layers = keras.layers

# As in test_equality.py: sums in another order.
TOLERANCE = 1e-6


def segmenter(channels):
    """(8, 8, 3) -> a score for each of 4 classes at each pixel."""
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(channels, 3, strides=2, padding="same")(image)
    x = layers.ReLU(name="features")(x)
    return keras.Model(image, layers.Conv2DTranspose(4, 2, strides=2)(x))


@cell("a class per pixel")
def test_a_class_per_pixel(strategy, images, gap, values):
    pixels = np.random.default_rng(1).integers(0, 4, (136, 8, 8))
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    weights, logs = [], []
    for scope in (contextlib.nullcontext, strategy.scope):
        keras.utils.set_random_seed(0)
        with scope():
            paraphraser = Paraphraser(0.5)
            paraphraser.trained = True
            model = FactorTransfer(
                segmenter(8), segmenter(4), paraphraser, beta=20.0, p=2
            )
            model.compile(keras.optimizers.SGD(0.05, momentum=0.9), loss)
        history = model.fit(
            images[0], pixels, batch_size=8, shuffle=False, verbose=0
        )
        logs.append({name: x[0] for name, x in history.history.items()})
        weights.append(values(model.trainable_variables))
    assert gap(*weights) <= TOLERANCE
    assert logs[0]["factor_loss"] > 0
    assert logs[1] == pytest.approx(logs[0], rel=1e-5)
