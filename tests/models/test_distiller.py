"""The distiller's promises, each shown on small networks."""

import keras
import numpy as np
import pytest

from keras_ft import CoupledSGD
from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import Paraphraser
from keras_ft import transfers


def compiled(model, **kwargs):
    arguments = {
        "optimizer": CoupledSGD(0.1, momentum=0.9, weight_decay=1e-3),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
        **kwargs,
    }
    model.compile(**arguments)
    return model


def values(model):
    return [keras.ops.convert_to_numpy(v) for v in model.variables]


def assert_same(before, after):
    for old, new in zip(before, after, strict=True):
        np.testing.assert_array_equal(old, new)


def differ(before, after):
    return [
        not np.array_equal(old, new)
        for old, new in zip(before, after, strict=True)
    ]


def test_zero_sample_weights_change_nothing(network, paraphraser, batch):
    teacher, student = network(8), network(4, normalize=False)
    model = compiled(
        FactorTransfer(teacher, student, paraphraser), optimizer="sgd"
    )
    before = values(student), values(model.translator)
    history = model.fit(
        *batch, sample_weight=np.zeros(24), epochs=2, verbose=0
    ).history
    assert_same(before[0], values(student))
    assert_same(before[1], values(model.translator))
    assert history["loss"] == [0.0, 0.0]


def test_weighting_an_example_equals_repeating_it(network, paraphraser, batch):
    images, labels = batch[0][:4], batch[1][:4]
    results = []
    for repeat in (False, True):
        keras.utils.set_random_seed(1)
        layer = Paraphraser(0.5)
        layer.trained = True
        student = network(4, normalize=False)
        model = FactorTransfer(network(8), student, layer)
        compiled(model, optimizer=keras.optimizers.SGD(0.1))
        order = [0, 1, 1, 2] if repeat else [0, 1, 2]
        # Keras divides by the number of examples, here three or four.
        weights = np.array([1, 1, 1, 1] if repeat else [0.75, 1.5, 0.75])
        model.train_on_batch(images[order], labels[order], weights)
        results.append(values(student))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_explicit_step_equals_keras_own(
    network, paraphraser, batch, monkeypatch
):
    def train():
        keras.utils.set_random_seed(5)
        layer = Paraphraser(0.5)
        layer.trained = True
        student = network(4, l2=1e-3)
        model = compiled(FactorTransfer(network(8), student, layer))
        history = model.fit(*batch, epochs=4, shuffle=False, verbose=0).history
        return values(student), history

    explicit, explicit_history = train()
    monkeypatch.setattr(
        Distiller, "_tensorflow_train_step", keras.Model.train_step
    )
    stock, stock_history = train()
    assert_same(explicit, stock)
    assert explicit_history == stock_history


def test_task_weight_scales_the_labels_only(network, batch):
    model = Distiller(
        network(8),
        network(4, l2=0.01),
        [transfers.SoftTargets(beta=0.9)],
        task_weight=0.1,
    )
    logs = compiled(model).evaluate(*batch, return_dict=True, verbose=0)
    total = (
        0.1 * logs["task_loss"]
        + 0.9 * logs["soft_target_loss"]
        + logs["regularization_loss"]
    )
    assert logs["loss"] == pytest.approx(total, rel=1e-5)


def test_labels_are_optional_without_a_loss(network, paraphraser, batch):
    student = network(4)
    model = FactorTransfer(network(8), student, paraphraser)
    model.compile("sgd")
    before = values(student)
    with pytest.warns(UserWarning, match="Gradients do not exist"):
        model.fit(batch[0], verbose=0)
    conv, head = student.get_layer("conv"), student.get_layer("head")
    changed = dict(
        zip(
            (v.path for v in student.variables),
            differ(before, values(student)),
            strict=True,
        )
    )
    assert changed[conv.kernel.path] and not changed[head.kernel.path]


def test_a_users_own_transfer_needs_no_registration(network, batch):
    class MeanMatch(transfers.Transfer):
        def call(self, teacher, student):
            gap = keras.ops.mean(teacher, (1, 2, 3)) - keras.ops.mean(
                student, (1, 2, 3)
            )
            return keras.ops.square(gap)

    model = compiled(
        Distiller(network(8), network(4), [MeanMatch(beta=2.0, name="mean")])
    )
    history = model.fit(*batch, verbose=0).history
    assert history["mean_loss"][0] > 0
