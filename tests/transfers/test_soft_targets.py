"""Soft targets of every kind of head: logits, softmax, sigmoid."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import losses
from keras_ft import transfers

BINARY = keras.losses.BinaryCrossentropy
ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}


@pytest.fixture
def headed(network):
    """Makes the network of a seed, with or without an activation."""

    def make(channels, activation=None, classes=4, normalize=True):
        keras.utils.set_random_seed(channels)
        bare = network(channels, classes=classes, normalize=normalize)
        if activation is None:
            return bare
        last = bare.get_layer("head")
        head = layers.Dense(classes, activation=activation, name="head")
        model = keras.Model(bare.input, head(last.input))
        model.set_weights(bare.get_weights())
        return model

    return make


def sigmoid(x):
    return 1 / (1 + np.exp(-np.float64(x)))


def bernoulli(teacher, student):
    p, q = sigmoid(teacher), sigmoid(student)
    return p * np.log(p / q) + (1 - p) * np.log((1 - p) / (1 - q))


def test_the_divergence_of_yes_and_no():
    teacher, student = np.random.default_rng(0).normal(size=(2, 6, 3)) * 3
    found = losses.bernoulli_divergence(teacher, student, 2.0)
    expected = 4 * bernoulli(teacher / 2, student / 2).mean(axis=1)
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    # One output is a softmax over its logit and 0.
    one, other = (
        np.stack([x[:, 0], np.zeros(6)], axis=1) for x in (teacher, student)
    )
    np.testing.assert_allclose(
        losses.bernoulli_divergence(teacher[:, :1], student[:, :1], 2.0),
        losses.soft_target_divergence(one, other, 2.0),
        rtol=1e-5,
    )


def test_the_divergence_is_finite_where_the_teacher_is_sure():
    sure = np.array([[200.0], [-200.0]], "float32")
    found = losses.bernoulli_divergence(sure, -sure, 1.0)
    np.testing.assert_allclose(found, [200.0, 200.0])


@pytest.mark.parametrize("activations", [("softmax", None), (None, "softmax")])
def test_a_softmax_is_taken_off(headed, batch, activations):
    """Training equals that of the same networks without it, bit for bit."""

    def train(of_teacher, of_student):
        teacher, student = headed(8, of_teacher), headed(4, of_student)
        model = Distiller(teacher, student, [transfers.SoftTargets()])
        loss = keras.losses.SparseCategoricalCrossentropy(
            from_logits=of_student is None
        )
        model.compile(keras.optimizers.SGD(0.1), loss, metrics=["accuracy"])
        logs = model.fit(*batch, epochs=2, **ARGUMENTS).history
        assert model.student is student
        return student, logs

    student, logs = train(*activations)
    plain, expected = train(None, None)
    assert expected["soft_target_loss"][0] > 1e-4
    for name, values in expected.items():
        np.testing.assert_allclose(logs[name], values, rtol=1e-5)
    for one, other in zip(
        student.get_weights(), plain.get_weights(), strict=True
    ):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-6)
    outputs = ops.convert_to_numpy(student(batch[0]))
    assert (np.abs(outputs.sum(axis=1) - 1) < 1e-5).all() == bool(
        activations[1]
    )


def test_beta_zero_trains_a_softmax_student_as_it_trains_itself(headed, batch):
    def train(distill):
        student = headed(4, "softmax")
        terms = [transfers.SoftTargets(beta=0.0)]
        model = Distiller(headed(8), student, terms) if distill else student
        optimizer = keras.optimizers.SGD(0.1, momentum=0.9)
        model.compile(optimizer, "sparse_categorical_crossentropy")
        model.fit(*batch, epochs=3, **ARGUMENTS)
        return student.get_weights()

    for one, other in zip(train(True), train(False), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("classes", "activation", "loss", "told"),
    [
        (1, "sigmoid", BINARY(), {}),
        (1, None, BINARY(from_logits=True), {}),
        (1, None, None, {}),
        (3, "sigmoid", "binary_crossentropy", {}),
        (3, None, BINARY(from_logits=True), {}),
        (3, None, {"head": BINARY(from_logits=True)}, {}),
        (3, None, None, {"activation": "sigmoid"}),
    ],
)
def test_labels_of_their_own_are_compared_one_by_one(
    headed, batch, classes, activation, loss, told
):
    images, _ = batch
    labels = np.random.default_rng(1).integers(0, 2, (len(images), classes))
    teacher = headed(8, activation, classes)
    student = headed(4, activation, classes)
    logits = [
        ops.convert_to_numpy(headed(c, None, classes)(images, training=False))
        for c in (8, 4)
    ]
    term = transfers.SoftTargets(temperature=2.0, **told)
    model = Distiller(teacher, student, [term])
    model.compile(keras.optimizers.SGD(0.5), loss)
    expected = 4 * bernoulli(logits[0] / 2, logits[1] / 2).mean()
    assert expected > 1e-4
    targets = None if loss is None else labels.astype("float32")
    found = model.evaluate(images, targets, return_dict=True, verbose=0)
    assert found["soft_target_loss"] == pytest.approx(expected, rel=1e-4)
    before = student.get_weights()
    model.fit(images, targets, **ARGUMENTS)
    after = student.get_weights()
    assert not any(map(np.array_equal, before[-2:], after[-2:]))


def test_a_binary_teacher_alone_teaches_its_student(headed, batch):
    """The term was 0 before: a softmax over one class is always 1."""
    images, _ = batch
    teacher = headed(8, "sigmoid", 1)
    teacher.get_layer("head").bias.assign([1.5])
    student = headed(4, "sigmoid", 1)
    model = Distiller(teacher, student, [transfers.SoftTargets(1.0)])
    model.compile(keras.optimizers.Adam(0.05))
    logs = model.fit(images, epochs=30, **ARGUMENTS).history
    assert logs["soft_target_loss"][-1] < 0.1 * logs["soft_target_loss"][0]
    np.testing.assert_allclose(student(images), teacher(images), atol=0.1)


def test_the_activation_survives_a_file(headed, batch, tmp_path):
    images, _ = batch
    model = Distiller(
        headed(8, classes=3),
        headed(4, classes=3),
        [transfers.SoftTargets(activation="sigmoid")],
    )
    model.compile("sgd")
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.transfers[0].compared == "sigmoid"
    assert loaded.evaluate(images, verbose=0) == model.evaluate(
        images, verbose=0
    )


def test_an_own_term_on_outputs_sees_probabilities(headed, batch):
    seen = []

    class Outputs(transfers.Transfer):
        source = "outputs"

        def call(self, teacher, student):
            seen.extend([teacher, student])
            return ops.mean(ops.square(teacher - student), axis=-1)

    teacher, student = headed(8, "softmax"), headed(4, "softmax")
    terms = [Outputs(name="own"), transfers.SoftTargets()]
    model = Distiller(teacher, student, terms)
    outputs, _ = model.outputs_and_terms(batch[0])
    for found, network in zip(seen, (teacher, student), strict=True):
        np.testing.assert_array_equal(found, network(batch[0], training=False))
    np.testing.assert_array_equal(outputs, seen[1])


@pytest.mark.parametrize(
    ("activations", "classes", "term", "fault"),
    [
        (("softmax", "sigmoid"), 4, {}, "different activations"),
        (("softmax", None), 4, {"activation": "sigmoid"}, "different activ"),
        (("softmax", "softmax"), 1, {}, "softmax over one output"),
        ((None, None), 1, {"activation": "softmax"}, "softmax over one output"),
        ((None, None), 1, {"standardize": True}, "Invalid `standardize`"),
        ((None, None), 4, {"activation": "tanh"}, "Invalid `activation`"),
    ],
)
def test_heads_that_cannot_be_compared_are_refused(
    headed, activations, classes, term, fault
):
    teacher = headed(8, activations[0], classes)
    student = headed(4, activations[1], classes)
    with pytest.raises(InputError, match=fault):
        Distiller(teacher, student, [transfers.SoftTargets(**term)])


def test_decoupled_targets_of_one_output_are_refused(headed):
    pair = headed(8, classes=1), headed(4, classes=1)
    with pytest.raises(InputError, match="Use SoftTargets"):
        Distiller(*pair, [transfers.DecoupledSoftTargets()])


def test_decoupled_targets_of_several_labels_are_refused(headed, batch):
    model = Distiller(headed(8), headed(4), [transfers.DecoupledSoftTargets()])
    model.compile("sgd", BINARY(from_logits=True))
    rows = np.eye(4, dtype="float32")[batch[1]]
    with pytest.raises(InputError, match="Use SoftTargets"):
        model.fit(batch[0], rows, verbose=0)


@pytest.mark.parametrize(
    ("activation", "loss", "labels", "fault"),
    [
        ("sigmoid", BINARY(from_logits=True), np.ones, "ends in a sigmoid"),
        (None, "binary_crossentropy", np.ones, "expects probabilities"),
        (None, BINARY(from_logits=True), lambda n: np.ones((n, 3)), "each out"),
        (
            None,
            BINARY(from_logits=True),
            lambda n: np.full(n, 2.0),
            "2.0 for a",
        ),
        (None, BINARY(from_logits=True), lambda n: -np.ones(n), "binary loss"),
    ],
)
def test_labels_and_losses_that_do_not_fit_one_output(
    headed, batch, activation, loss, labels, fault
):
    student = headed(4, activation, 1)
    model = Distiller(headed(8, None, 1), student, [transfers.SoftTargets()])
    model.compile("sgd", loss)
    with pytest.raises(InputError, match=fault):
        model.fit(batch[0], labels(len(batch[0])), verbose=0)
