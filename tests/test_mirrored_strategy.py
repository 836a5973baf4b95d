"""Two replicas train to the weights and logs of one device."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import CoupledSGD
from keras_ft import FactorTransfer
from keras_ft import Paraphraser
from keras_ft import transfers


def train(network, batch, epochs):
    keras.utils.set_random_seed(0)
    paraphraser = Paraphraser(0.5)
    paraphraser.trained = True
    student = network(4, normalise=False, l2=1e-3)
    model = FactorTransfer(
        network(8, normalise=False),
        student,
        paraphraser,
        beta=20.0,
        # |d| has a jump in its gradient, where the last bits of a sum decide
        # on the sign; d^2 has none.
        p=2,
        also=[transfers.SoftTargets(beta=0.5)],
    )
    model.compile(
        CoupledSGD(0.1, momentum=0.9, weight_decay=1e-3),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    weights = np.linspace(0.0, 2.0, 24).astype("float32")
    data = tf.data.Dataset.from_tensor_slices((*batch, weights)).batch(8)
    history = model.fit(data, validation_data=data, epochs=epochs, verbose=0)
    trained = [np.array(v) for v in model.trainable_variables]
    return trained, history.history


@pytest.mark.slow
def test_two_replicas_equal_one_device(network, batch, two_devices):
    alone, alone_logs = train(network, batch, epochs=17)
    with tf.distribute.MirroredStrategy(two_devices).scope():
        both, both_logs = train(network, batch, epochs=17)
    for one, two in zip(alone, both, strict=True):
        np.testing.assert_allclose(one, two, atol=1e-6)
    assert alone_logs.keys() == both_logs.keys()
    for name, values in alone_logs.items():
        assert both_logs[name] == pytest.approx(values, rel=1e-4), name
