"""Each part of the loss is logged by itself, as NumPy computes it."""

import keras
import numpy as np
import pytest

from keras_ft import transfers

BETA = 100.0
L2 = 0.01


def unit(features):
    flat = features.reshape(len(features), -1).astype("float64")
    return flat / np.linalg.norm(flat, axis=1, keepdims=True)


def log_softmax(logits):
    shifted = logits.astype("float64") - logits.max(axis=1, keepdims=True)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def decoupled(teacher, student):
    """T^2 (TCKD + 8 NCKD) at T = 4, with the classes sorted by the teacher."""
    order = np.argsort(-teacher, axis=1)
    both = [
        np.exp(log_softmax(np.take_along_axis(one, order, 1) / 4))
        for one in (teacher, student)
    ]
    (p, p_rest), (q, q_rest) = [(one[:, :1], one[:, 1:]) for one in both]
    target = p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))
    others = p_rest / (1 - p) * np.log(p_rest / q_rest * (1 - q) / (1 - p))
    return 16 * (target[:, 0] + 8 * others.sum(axis=1))


def per_example_terms(model, images, labels):
    """Every term of every example in float64, from the networks' outputs."""
    inside = {}
    for name in ("teacher", "student"):
        network = getattr(model, name)
        features = network.get_layer("features").output
        both = keras.Model(network.input, [features, network.output])
        inside[name] = both.predict(images, verbose=0)
    (teacher, teacher_logits), (student, logits) = inside.values()
    factors = [
        keras.ops.convert_to_numpy(layer(features, training=False))
        for layer, features in (
            (model.paraphraser, teacher),
            (model.translator, student),
        )
    ]
    maps = [(features**2).mean(axis=-1) for features in (teacher, student)]
    cold = log_softmax(teacher_logits / 3), log_softmax(logits / 3)
    divergence = (np.exp(cold[0]) * (cold[0] - cold[1])).sum(axis=1)
    chosen = log_softmax(logits)[np.arange(len(labels)), labels]
    zscores = [
        (one - one.mean(1, keepdims=True)) / one.std(1, keepdims=True, ddof=1)
        for one in (teacher_logits, logits)
    ]
    zscores = [log_softmax(one / 2) for one in zscores]
    standardized = (np.exp(zscores[0]) * (zscores[0] - zscores[1])).sum(axis=1)
    gaps = [unit(one) - unit(other) for one, other in (factors, maps)]
    return {
        "task_loss": -chosen,
        "factor_loss": np.abs(gaps[0]).mean(axis=1),
        "attention_loss": (gaps[1] ** 2).mean(axis=1),
        "soft_target_loss": 9 * divergence,
        "standardized_loss": 4 * standardized,
        "decoupled_soft_target_loss": decoupled(teacher_logits, logits),
    }


@pytest.mark.cell("each loss term logged exactly")
@pytest.mark.cell("validation_data")
@pytest.mark.cell("sample_weight")
@pytest.mark.parametrize("weighted", [False, True])
def test_every_part_equals_numpy(network, build, compiled, batch, weighted):
    student = network(4, normalize=False, l2=L2)
    also = [
        transfers.AttentionTransfer(beta=7.0),
        transfers.SoftTargets(temperature=3.0, beta=0.5),
        transfers.SoftTargets(
            temperature=2.0, beta=9.0, standardize=True, name="standardized"
        ),
        transfers.DecoupledSoftTargets(beta=0.25),
    ]
    model = build(student, p=1, beta=BETA, also=also)
    # A rate of 0, so that all batches see the same weights.
    compiled(model, optimizer=keras.optimizers.SGD(0.0))
    images, labels = batch
    weights = np.linspace(0, 2, 24).astype("float32") if weighted else None
    halves = np.linspace(2, 1, 12).astype("float32")
    validation = (images[:12], labels[:12]) + ((halves,) if weighted else ())
    # Batches of 10, 10 and 4: a mean of their means would be another number.
    logs = model.fit(
        images,
        labels,
        sample_weight=weights,
        batch_size=10,
        validation_data=validation,
        verbose=0,
    ).history
    terms = per_example_terms(model, images, labels)
    penalty = L2 * (student.get_layer("conv").get_weights()[0] ** 2).sum()
    for prefix, size, weight in (("", 24, weights), ("val_", 12, halves)):
        weight = weight if weighted else 1.0
        expected = {
            name: (value[:size] * weight).mean()
            for name, value in terms.items()
        }
        expected["regularization_loss"] = penalty
        expected["loss"] = (
            expected["task_loss"]
            + BETA * expected["factor_loss"]
            + 7.0 * expected["attention_loss"]
            + 0.5 * expected["soft_target_loss"]
            + 9.0 * expected["standardized_loss"]
            + 0.25 * expected["decoupled_soft_target_loss"]
            + penalty
        )
        for name, value in expected.items():
            assert value > 0
            logged = logs[prefix + name][0]
            # float32 against float64; a decoupled divergence is 16 * 8 times
            # a small difference of logarithms.
            rel = 2e-5 if name.startswith("decoupled") else 2e-6
            assert logged == pytest.approx(value, rel=rel), prefix + name


@pytest.mark.cell("beta changed while training")
def test_a_callback_can_schedule_beta_by_epoch(build, compiled, batch):
    betas = [0.0, 1000.0, 20.0]

    class Schedule(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            self.model.beta = betas[epoch]

    # A rate of 0 leaves beta as the only thing that changes.
    model = compiled(build(), optimizer=keras.optimizers.SGD(0.0))
    logs = model.fit(
        *batch,
        batch_size=8,
        epochs=3,
        callbacks=[Schedule()],
        validation_data=batch,
        verbose=0,
    ).history
    for prefix in ("", "val_"):
        for epoch, beta in enumerate(betas):
            factor = logs[f"{prefix}factor_loss"][epoch]
            total = logs[f"{prefix}task_loss"][epoch] + beta * factor
            loss = logs[f"{prefix}loss"][epoch]
            assert loss == pytest.approx(total, rel=1e-6)


@pytest.mark.cell("beta changed while training")
def test_a_callback_can_schedule_beta_by_batch(
    build, compiled, batch, values, same
):
    betas = [0.0, 500.0, 20.0]

    class Schedule(keras.callbacks.Callback):
        def on_train_batch_begin(self, step, logs=None):
            self.model.beta = betas[step]

    model = compiled(build())
    arguments = {"batch_size": 8, "shuffle": False, "verbose": 0}
    model.fit(*batch, callbacks=[Schedule()], **arguments)
    by_hand = compiled(build())
    for step, beta in enumerate(betas):
        by_hand.beta = beta
        chosen = slice(8 * step, 8 * step + 8)
        by_hand.train_on_batch(batch[0][chosen], batch[1][chosen])
    same(values(by_hand.student), values(model.student))
    same(values(by_hand.translator), values(model.translator))
