"""Images without labels: in every term but the compiled loss."""

import functools

import keras
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import transfers

cell = functools.partial(pytest.mark.cell, "unlabelled images")
SPARSE = keras.losses.SparseCategoricalCrossentropy
LOSS = functools.partial(SPARSE, from_logits=True, ignore_class=-1)


@pytest.fixture
def some(batch):
    """The batch; 15 of its 24 labels are gone."""
    labels = batch[1].copy()
    labels[3:18] = -1
    return batch[0], labels


@pytest.fixture
def model(network):
    keras.utils.set_random_seed(1)
    terms = [transfers.SoftTargets(temperature=2.0, beta=0.5)]
    return Distiller(network(12), network(8, normalize=False), terms)


def numpy_losses(model, images, labels):
    """Return cross-entropy, right answers and KL, per image, in float64."""
    teacher, student = (
        part.predict(images, verbose=0).astype("float64")
        for part in (model.teacher, model.student)
    )

    def log_softmax(x):
        return x - np.log(np.exp(x).sum(-1, keepdims=True))

    theirs, ours = log_softmax(teacher / 2), log_softmax(student / 2)
    divergence = 4 * (np.exp(theirs) * (theirs - ours)).sum(-1)
    entropy = -log_softmax(student)[np.arange(len(labels)), labels]
    return entropy, student.argmax(-1) == labels, divergence


@cell()
def test_losses_and_accuracy(model, some, batch):
    images, labels = some
    model.compile(keras.optimizers.SGD(0.0), LOSS(), metrics=["accuracy"])
    logs = model.fit(images, labels, batch_size=24, verbose=0).history
    entropy, right, divergence = numpy_losses(model, *batch)
    known = labels >= 0
    assert logs["task_loss"][0] == pytest.approx(entropy[known].mean(), 1e-5)
    assert logs["accuracy"][0] == pytest.approx(right[known].mean())
    assert logs["soft_target_loss"][0] == pytest.approx(divergence.mean(), 1e-4)
    total = entropy[known].mean() + 0.5 * divergence.mean()
    assert logs["loss"][0] == pytest.approx(total, 1e-5)


def test_an_epoch_counts_every_label_once(model, some, batch):
    # Batches of 5, 5, 5, 5 and 4 have 3, 0, 0, 2 and 4 labels.
    images, labels = some
    model.compile(keras.optimizers.SGD(0.0), LOSS(), metrics=["accuracy"])
    logs = model.evaluate(
        images, labels, batch_size=5, verbose=0, return_dict=True
    )
    entropy, right, divergence = numpy_losses(model, *batch)
    known = labels >= 0
    assert logs["task_loss"] == pytest.approx(entropy[known].mean(), 1e-5)
    assert logs["accuracy"] == pytest.approx(right[known].mean())
    assert logs["soft_target_loss"] == pytest.approx(divergence.mean(), 1e-4)


def test_sample_weights_are_kept(model, some, batch):
    images, labels = some
    weights = np.random.default_rng(2).uniform(size=24).astype("float32")
    model.compile(
        keras.optimizers.SGD(0.0), LOSS(), weighted_metrics=["accuracy"]
    )
    logs = model.fit(
        images, labels, sample_weight=weights, batch_size=24, verbose=0
    ).history
    entropy, right, divergence = numpy_losses(model, *batch)
    known = labels >= 0
    task = (weights * entropy)[known].mean()
    assert logs["task_loss"][0] == pytest.approx(task, 1e-5)
    share = np.average(right[known], weights=weights[known])
    assert logs["accuracy"][0] == pytest.approx(share, 1e-5)
    kd = (weights * divergence).mean()
    assert logs["soft_target_loss"][0] == pytest.approx(kd, 1e-4)


def test_labels_of_unlabelled_images_do_not_matter(network, some, batch):
    """Nothing depends on the number for "no label", not even gradients."""

    def trained(mark):
        keras.utils.set_random_seed(1)
        kd = transfers.SoftTargets(temperature=2.0, beta=0.5)
        model = Distiller(network(12), network(8), [kd])
        labels = np.where(some[1] == -1, mark, some[1])
        loss = SPARSE(from_logits=True, ignore_class=mark)
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        model.fit(batch[0], labels, batch_size=8, shuffle=False, verbose=0)
        return [np.asarray(v) for v in model.student.variables]

    for ours, theirs in zip(trained(-1), trained(255), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("weighted", [False, True])
def test_a_row_of_zeros_is_no_label(model, some, weighted):
    """As one-hot rows the same images give the same numbers and weights."""
    images, labels = some
    rows = np.vstack([np.eye(4), np.zeros(4)]).astype("float32")[labels]
    assert np.all((rows.sum(1) == 1) == (labels >= 0))
    weights = np.linspace(0.5, 2.0, 24).astype("float32") if weighted else None
    start = model.student.get_weights()
    found = []
    for loss, given in (
        (LOSS(), labels),
        (keras.losses.CategoricalCrossentropy(from_logits=True), rows),
    ):
        model.student.set_weights(start)
        model.compile(
            keras.optimizers.SGD(0.1), loss, weighted_metrics=["accuracy"]
        )
        logs = model.fit(
            images,
            given,
            sample_weight=weights,
            batch_size=8,
            shuffle=False,
            verbose=0,
        ).history
        found.append((logs, model.student.get_weights()))
    (logs, ours), (their_logs, theirs) = found
    for name, values in logs.items():
        assert their_logs[name] == pytest.approx(values, rel=1e-5), name
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-6)


def test_no_labels_at_all(model, batch):
    model.compile(keras.optimizers.SGD(0.1))
    logs = model.fit(batch[0], batch_size=8, epochs=3, verbose=0).history
    assert logs["loss"][-1] < logs["loss"][0]
    model.compile("sgd", LOSS())
    with pytest.raises(InputError, match="without a loss"):
        model.fit(batch[0], np.full(24, -1), verbose=0)


def test_a_label_of_minus_one_must_be_declared(model, some):
    before = [np.asarray(v) for v in model.student.variables]
    model.compile("sgd", SPARSE(from_logits=True))
    with pytest.raises(InputError, match="ignore_class=-1"):
        model.fit(*some, verbose=0)
    for value, now in zip(before, model.student.variables, strict=True):
        np.testing.assert_array_equal(value, np.asarray(now))
