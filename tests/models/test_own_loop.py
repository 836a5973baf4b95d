"""A loop of one's own has the whole loss, or is told how to get it."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers

SPARSE = keras.losses.SparseCategoricalCrossentropy


@pytest.fixture
def make(network):
    def build(also=()):
        keras.utils.set_random_seed(4)
        paraphraser = Paraphraser(0.5)
        paraphraser.trained = True
        model = FactorTransfer(
            network(8), network(4, l2=0.01), paraphraser, p=2, also=also
        )
        model.compile(keras.optimizers.SGD(0.1), SPARSE(from_logits=True))
        return model

    return build


def test_a_loop_with_a_tape_trains_as_fit_does(make, batch):
    images, labels = batch
    fitted, own = (
        make([transfers.SoftTargets()]),
        make([transfers.SoftTargets()]),
    )
    optimizer = keras.optimizers.SGD(0.1)
    weights = own.trainable_variables

    @tf.function
    def step(x, y):
        with tf.GradientTape() as tape:
            loss = own.compute_loss(x, y)
        optimizer.apply(tape.gradient(loss, weights), weights)
        return loss

    totals = [
        float(step(images[i : i + 8], labels[i : i + 8])) for i in (0, 8, 16)
    ]
    logs = fitted.fit(
        images, labels, batch_size=8, shuffle=False, verbose=0
    ).history
    assert logs["factor_loss"][0] > 0
    assert np.mean(totals) == pytest.approx(logs["loss"][0], rel=1e-5)
    for one, other in zip(
        own.trainable_variables, fitted.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_a_prediction_has_no_factor_term_and_is_refused(make, batch):
    images, labels = batch
    model = make()
    with pytest.raises(InputError, match=r"model.compute_loss\(x, y\)"):
        model.compute_loss(images, labels, model(images, training=True))


def test_validation_in_a_loop_is_that_of_evaluate(make, batch):
    images, labels = batch
    model = make()
    found = model.compute_loss(images, labels, training=False)
    expected = model.evaluate(images, labels, batch_size=24, verbose=0)
    assert float(found) == pytest.approx(expected[0], rel=1e-5)
    weighted = model.compute_loss(
        images, labels, sample_weight=np.zeros(24), training=False
    )
    penalty = sum(map(float, model.losses))
    assert float(weighted) == pytest.approx(penalty, rel=1e-5)


def test_phase_1_in_a_loop(network, batch):
    images, _ = batch
    trainer = ParaphraserTrainer(network(8), Paraphraser(0.5))
    trainer.compile("sgd")
    found = float(trainer.compute_loss(images))
    assert found == pytest.approx(float(np.mean(trainer(images))), rel=1e-6)
