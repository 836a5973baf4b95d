"""Weights of examples reach every term; validation is the same arithmetic."""

import keras
import numpy as np
import pytest

from keras_ft import transfers

BY_CLASS = {0: 0.0, 1: 0.5, 2: 1.0, 3: 2.5}
ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.fixture
def by_example(batch):
    table = np.array([BY_CLASS[label] for label in range(4)], "float32")
    return table[batch[1]]


@pytest.mark.cell("class_weight")
@pytest.mark.cell("sample_weight")
def test_class_weights_are_sample_weights_for_every_term(
    build, compiled, batch, values, same, by_example
):
    def train(**kwargs):
        kd = transfers.SoftTargets(beta=0.5)
        model = compiled(build(also=[kd]))
        logs = model.fit(*batch, epochs=3, **kwargs, **ARGUMENTS).history
        return values(model.student) + values(model.translator), logs

    classes = train(class_weight=BY_CLASS)
    examples = train(sample_weight=by_example)
    same(classes[0], examples[0])
    assert classes[1] == examples[1]


@pytest.mark.cell("class_weight")
def test_classes_of_weight_zero_have_no_influence(
    network, build, compiled, batch, values, close
):
    def train(images, labels, rate, **kwargs):
        optimizer = keras.optimizers.SGD(rate)
        keras.utils.set_random_seed(3)
        student = network(4, normalize=False)
        model = compiled(build(student), optimizer=optimizer)
        arguments = {**ARGUMENTS, "batch_size": 24, "epochs": 2}
        model.fit(images, labels, **kwargs, **arguments)
        return values(model.student) + values(model.translator)

    images, labels = batch
    kept = labels != 0
    weighted = train(
        images, labels, 0.1, class_weight={0: 0.0, 1: 1.0, 2: 1.0, 3: 1.0}
    )
    # Keras divides by all examples, the ignored ones included.
    without = train(images[kept], labels[kept], 0.1 * kept.mean())
    close(weighted, without, atol=1e-6)


@pytest.mark.cell("weighted metrics")
def test_weighted_metrics_are_weighted_and_plain_ones_are_not(
    build, compiled, batch, by_example
):
    model = compiled(
        build(),
        metrics=["accuracy"],
        weighted_metrics=[
            keras.metrics.SparseCategoricalAccuracy(name="weighted")
        ],
    )
    logs = model.evaluate(
        *batch, sample_weight=by_example, return_dict=True, verbose=0
    )
    right = model.predict(batch[0], verbose=0).argmax(axis=1) == batch[1]
    expected = (right * by_example).sum() / by_example.sum()
    assert 0 < right.mean() < 1
    assert logs["accuracy"] == pytest.approx(right.mean())
    assert logs["weighted"] == pytest.approx(expected)


@pytest.mark.cell("validation_split")
@pytest.mark.cell("validation_data")
def test_a_validation_split_is_validation_on_the_last_examples(
    build, compiled, batch, values, same
):
    images, labels = batch

    def train(*data, **kwargs):
        model = compiled(build(), metrics=["accuracy"])
        logs = model.fit(*data, epochs=2, **kwargs, **ARGUMENTS).history
        return model, values(model.student), logs

    _, split, split_logs = train(images, labels, validation_split=1 / 3)
    model, data, logs = train(
        images[:16], labels[:16], validation_data=(images[16:], labels[16:])
    )
    same(split, data)
    assert split_logs == logs
    after = model.evaluate(
        images[16:], labels[16:], return_dict=True, verbose=0
    )
    for name, value in after.items():
        assert logs[f"val_{name}"][-1] == pytest.approx(value, rel=1e-6), name
