"""The suggested beta: what it promises about gradients, and that it is pure."""

import keras
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import suggest_beta
from keras_ft import transfers


def compiled(model, optimizer=None):
    model.compile(
        optimizer or keras.optimizers.SGD(0.1),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        metrics=["accuracy"],
    )
    return model


@pytest.fixture
def pair(network, paraphraser):
    """A distiller with dropout, batch normalization and a regularizer."""
    return compiled(
        FactorTransfer(network(8), network(4, l2=0.1, dropout=0.3), paraphraser)
    )


def pull(model, batch, beta):
    """What one step of SGD does to the weights before the tap."""
    model.beta = beta
    before = model.get_weights()
    trunk = model.student.trainable_variables[:4]
    start = [np.array(v) for v in trunk]
    model.train_on_batch(*batch)
    moved = [np.array(v) - s for v, s in zip(trunk, start, strict=True)]
    model.set_weights(before)
    return np.concatenate([m.ravel() for m in moved])


def test_the_weighted_factor_pulls_ratio_times_as_hard(
    network, paraphraser, batch
):
    model = FactorTransfer(network(8), network(4), paraphraser)
    compiled(model, keras.optimizers.SGD(1.0))
    suggestion = suggest_beta(model, *batch, ratio=3.0)
    # Kernel and bias of the convolution, scale and shift of the norm.
    assert suggestion.weights == 4
    task = pull(model, batch, 0.0)
    factor = pull(model, batch, suggestion.beta) - task
    assert np.linalg.norm(task) == pytest.approx(suggestion.task_norm, rel=1e-3)
    assert np.linalg.norm(factor) / np.linalg.norm(task) == pytest.approx(
        3.0, rel=1e-3
    )


def test_nothing_changes(pair, batch):
    seeds = [v for v in pair.variables if "seed" in v.name]
    assert seeds
    before = [np.array(v) for v in pair.variables]
    metrics = [np.array(v) for v in pair.metrics_variables]
    suggest_beta(pair, *batch)
    for old, new in zip(before, pair.variables, strict=True):
        np.testing.assert_array_equal(old, new)
    for old, new in zip(metrics, pair.metrics_variables, strict=False):
        np.testing.assert_array_equal(old, new)


def test_training_goes_on_as_if_nobody_had_asked(network, batch):
    def trained(asks):
        keras.utils.set_random_seed(3)
        layer = trained_paraphraser()
        model = FactorTransfer(network(8), network(4, dropout=0.3), layer)
        compiled(model)
        model.fit(*batch, verbose=0)
        if asks:
            suggest_beta(model, *batch)
        return model.fit(*batch, epochs=2, verbose=0).history

    assert trained(True) == trained(False)


# In bfloat16 the norm leaves rounding of a task gradient that is nearly equal
# at all positions and should cancel; the training has it too.
@pytest.mark.parametrize(
    ("policy", "tolerance"),
    [("mixed_float16", 0.02), ("mixed_bfloat16", 0.3)],
)
def test_mixed_precision_finds_about_the_same(
    network, paraphraser, batch, policy, tolerance
):
    exact = compiled(FactorTransfer(network(8), network(4), paraphraser))
    keras.config.set_dtype_policy(policy)
    mixed = compiled(FactorTransfer(network(8), network(4), paraphraser))
    for mine, theirs in zip(mixed.variables, exact.variables, strict=True):
        mine.assign(theirs)
    assert suggest_beta(mixed, *batch).beta == pytest.approx(
        suggest_beta(exact, *batch).beta, rel=tolerance
    )


def trained_paraphraser():
    layer = Paraphraser(0.5)
    layer.trained = True
    return layer


def test_beta_follows_ratio_reduction_and_task_weight(network, batch):
    def beta(reduction="mean", task_weight=1.0, **kwargs):
        keras.utils.set_random_seed(0)
        match = transfers.FactorMatch(
            trained_paraphraser(), reduction=reduction
        )
        pair = network(8), network(4)
        model = Distiller(*pair, [match], task_weight=task_weight)
        return suggest_beta(compiled(model), *batch, **kwargs).beta

    entries = 8 * 8 * 4
    assert beta() == pytest.approx(entries * beta("sum"), rel=1e-4)
    bound = 2 / np.sqrt(entries)
    assert beta() == pytest.approx(beta("relative") / bound, rel=1e-4)
    assert beta(ratio=5.0) == pytest.approx(2.5 * beta(), rel=1e-6)
    assert beta(task_weight=0.1) == pytest.approx(0.1 * beta(), rel=1e-6)


def test_other_terms_and_other_data(network, batch, paraphraser):
    import tensorflow as tf

    also = [transfers.SoftTargets(beta=1.0)]
    model = compiled(
        FactorTransfer(network(8), network(4), paraphraser, also=also)
    )
    expected = suggest_beta(model, *batch)
    dataset = tf.data.Dataset.from_tensor_slices(batch).batch(24)
    assert suggest_beta(model, dataset) == expected
    (features,), logits = model.run_teacher(batch[0])
    cached = {
        "images": batch[0],
        "features": {"features": features},
        "logits": logits,
    }
    found = suggest_beta(model, cached, batch[1])
    assert found.beta == pytest.approx(expected.beta, rel=1e-5)
    # Soft targets reach the head as well.
    assert suggest_beta(model, *batch, term=also[0].name).weights == 6


def test_the_sentence_names_beta_and_both_lengths(pair, batch):
    suggestion = suggest_beta(pair, *batch)
    sentence = str(suggestion)
    assert sentence.startswith(f"beta {suggestion.beta:.4g}: 2 times")
    assert f"factor {suggestion.term_norm:.3g}" in sentence


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ratio": 0.0}, "Invalid `ratio`"),
        ({"ratio": float("inf")}, "Invalid `ratio`"),
        ({"term": "factr"}, "one of factor"),
        ({"model": "student"}, "Invalid `model`"),
    ],
)
def test_bad_arguments_are_refused(pair, batch, change, message):
    with pytest.raises(InputError, match=message):
        suggest_beta(**({"model": pair, "x": batch[0], "y": batch[1]} | change))


def test_a_model_without_loss_is_refused(network, paraphraser, batch):
    model = FactorTransfer(network(8), network(4), paraphraser)
    with pytest.raises(InputError, match="not compiled"):
        suggest_beta(model, *batch)


def test_a_student_that_cannot_learn_is_refused(pair, batch):
    weights = [np.zeros_like(w) for w in pair.translator.get_weights()]
    pair.translator.set_weights(weights)
    with pytest.raises(InputError, match="gradient of the factor loss is 0"):
        suggest_beta(pair, *batch)
