"""Layers, losses, optimizer and whole steps against PyTorch's own.

Origin of the arrays: tools/make_golden.py, run once with PyTorch 2.14.1.
"""

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import CoupledSGD
from keras_ft import FactorTransfer
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import Translator
from keras_ft import losses
from keras_ft import transfers

HERE = Path(__file__).parent
# By the names in tools/make_golden.py.
BUILDS = {
    "official": {},
    "steep": {"negative_slope": 0.3},
    "norm": {"batch_normalization": True},
}
BETA, KD, AT = 30.0, 0.9, 50.0


class Golden:
    """The arrays of one file, in Keras' layouts."""

    def __init__(self, name):
        with np.load(HERE / f"{name}.npz", allow_pickle=False) as file:
            self.arrays = {key: file[key] for key in file.files}

    def __getitem__(self, name):
        return self.arrays[name]

    def maps(self, name):
        """Feature maps or images, channels last."""
        return self.arrays[name].transpose(0, 2, 3, 1)

    def weights(self, prefix):
        """All of a module's, in PyTorch's order, which is Keras' as well."""
        found = [
            layout(array)
            for key, array in self.arrays.items()
            if key.startswith(f"{prefix}/")
        ]
        assert found, prefix
        return found


def layout(array):
    # Of both kinds of convolution, and of a linear layer.
    return array.transpose(2, 3, 1, 0) if array.ndim == 4 else array.T


@pytest.fixture(scope="module")
def modules():
    return Golden("modules")


@pytest.fixture(scope="module")
def numbers():
    return Golden("losses")


@pytest.fixture(scope="module")
def optimizers():
    return Golden("optimizers")


@pytest.fixture(scope="module")
def phase1():
    return Golden("phase1")


@pytest.fixture(scope="module")
def phase2():
    return Golden("phase2")


def close(received, expected, tolerance=1e-5):
    np.testing.assert_allclose(received, expected, rtol=1e-5, atol=tolerance)


@pytest.mark.parametrize("name", BUILDS)
def test_the_paraphraser(modules, name):
    paraphraser = Paraphraser(rate=0.5, **BUILDS[name])
    x = modules.maps("x")
    paraphraser.build(x.shape)
    paraphraser.set_weights(modules.weights(f"{name}/paraphraser"))
    close(paraphraser(x), modules.maps(f"{name}/factor"))
    close(paraphraser.reconstruct(x), modules.maps(f"{name}/reconstruction"))


@pytest.mark.parametrize("name", BUILDS)
def test_the_translator(modules, name):
    translator = Translator(channels=5, **BUILDS[name])
    x = modules.maps("x")
    translator.build(x.shape)
    translator.set_weights(modules.weights(f"{name}/translator"))
    close(translator(x), modules.maps(f"{name}/translated"))
    expected = modules.maps(f"{name}/translated in training")
    close(translator(x, training=True), expected)


def value_and_gradient(loss, teacher, student):
    variable = tf.Variable(student)
    with tf.GradientTape() as tape:
        value = losses.batch_mean(loss(teacher, variable))
    return value, tape.gradient(value, variable)


def attention_form(teacher, student):
    return losses.factor_distance(
        losses.attention_map(teacher), losses.attention_map(student)
    )


@pytest.mark.parametrize(
    ("name", "loss"),
    [
        ("factor p=1", losses.factor_distance),
        ("factor p=2", lambda t, s: losses.factor_distance(t, s, p=2)),
        ("factor, attention form", attention_form),
    ],
)
def test_the_factor_loss(numbers, name, loss):
    factors = numbers["factors"][:, :3].transpose(0, 1, 3, 4, 2)
    value, gradient = value_and_gradient(loss, *factors)
    close(value, numbers[name], 1e-7)
    close(gradient, numbers.maps(f"{name}/gradient"), 1e-7)


@pytest.mark.parametrize(
    ("reduction", "scale"), [("sum", 90), ("relative", 90**0.5 / 2)]
)
def test_the_factor_loss_of_other_reductions(numbers, reduction, scale):
    factors = numbers["factors"][:, :3].transpose(0, 1, 3, 4, 2)
    assert factors[0, 0].size == 90
    distance = losses.factor_distance(*factors, reduction=reduction)
    close(np.mean(distance), numbers["factor p=1"] * scale)


def test_a_zero_factor_counts_as_pytorch_counts_it(numbers):
    factors = numbers["factors"].transpose(0, 1, 3, 4, 2)
    value = losses.batch_mean(losses.factor_distance(*factors))
    close(value, numbers["factor p=1, with zeros"], 1e-7)


def test_the_attention_loss(numbers):
    wide = numbers.maps("wide")[:3]
    student = numbers["factors"][1, :3].transpose(0, 2, 3, 1)
    value, gradient = value_and_gradient(
        losses.attention_distance, wide, student
    )
    close(value, numbers["attention"], 1e-7)
    close(gradient, numbers.maps("attention/gradient"), 1e-7)
    term = transfers.AttentionTransfer()
    close(np.mean(term(wide, student)), numbers["attention"], 1e-7)


@pytest.mark.parametrize("temperature", [1.0, 4.0])
def test_soft_targets(numbers, temperature):
    def loss(teacher, student):
        return losses.soft_target_divergence(teacher, student, temperature)

    value, gradient = value_and_gradient(loss, *numbers["logits"])
    expected = numbers[f"soft T={temperature:g}"]
    close(value, expected)
    close(gradient, numbers[f"soft T={temperature:g}/gradient"], 1e-6)
    term = transfers.SoftTargets(temperature=temperature)
    close(np.mean(term(*numbers["logits"])), expected)


@pytest.mark.parametrize("name", ["l1", "l2"])
def test_the_reconstruction_loss(numbers, name):
    def loss(features, reconstruction):
        return losses.reconstruction_error(features, reconstruction, name)

    factors = numbers["factors"].transpose(0, 1, 3, 4, 2)
    value, gradient = value_and_gradient(loss, *factors)
    close(value, numbers[name])
    close(gradient, numbers.maps(f"{name}/gradient"), 1e-7)


@pytest.mark.parametrize(
    ("momentum", "decay", "nesterov"),
    [
        (0.0, 0.0, False),
        (0.0, 0.1, False),
        (0.9, 5e-4, False),
        (0.9, 0.1, False),
        (0.9, 0.1, True),
    ],
)
def test_coupled_sgd_after_every_step(optimizers, momentum, decay, nesterov):
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [5], [0.1, 0.01]
    )
    optimizer = CoupledSGD(schedule, momentum, nesterov, decay)
    weight = keras.Variable(optimizers["start"])
    expected = optimizers[f"{momentum}/{decay}/{nesterov}"]
    gradients = optimizers["gradients"]
    for gradient, after in zip(gradients, expected, strict=True):
        optimizer.apply([gradient], [weight])
        close(weight, after)


def classifier(golden, name, channels):
    image = keras.Input((6, 6, 3))
    x = keras.layers.Conv2D(channels, 3, padding="same")(image)
    x = keras.layers.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
    x = keras.layers.ReLU()(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    model = keras.Model(image, keras.layers.Dense(4)(x))
    model.set_weights(golden.weights(name))
    return model


def loaded_paraphraser(golden):
    paraphraser = Paraphraser(rate=0.5)
    paraphraser.build((None, 6, 6, 8))
    paraphraser.set_weights(golden.weights("paraphraser"))
    paraphraser.trained = True
    return paraphraser


def gradients_of(model, part, *batch):
    """A step of plain SGD at rate 1 moves the weights by the gradient."""
    before = [np.array(variable) for variable in part.trainable_variables]
    model.train_on_batch(*batch)
    return [
        old - np.array(new)
        for old, new in zip(before, part.trainable_variables, strict=True)
    ]


def all_close(received, expected):
    for mine, theirs in zip(received, expected, strict=True):
        close(mine, theirs)


def official():
    return CoupledSGD(0.1, momentum=0.9, weight_decay=5e-4)


@pytest.fixture
def trainer(phase1):
    def build(loss):
        return ParaphraserTrainer(
            classifier(phase1, "teacher", 8),
            loaded_paraphraser(phase1),
            loss=loss,
            acceleration="none",
        )

    return build


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_gradients_of_phase_1(phase1, trainer, loss):
    model = trainer(loss)
    model.compile(keras.optimizers.SGD(1.0))
    images = phase1.maps("images")
    received = gradients_of(model, model.paraphraser, images)
    all_close(received, phase1.weights(f"{loss}/gradient"))


@pytest.mark.parametrize("loss", ["l1", "l2"])
def test_steps_of_phase_1(phase1, trainer, loss):
    model = trainer(loss)
    model.compile(official())
    images = phase1.maps("images")
    for expected in phase1[f"{loss}/loss"]:
        logs = model.train_on_batch(images, return_dict=True)
        close(logs["loss"], expected)
        # Means go on from step to step otherwise.
        model.reset_metrics()
    after = phase1.weights(f"{loss}/after")
    all_close(model.paraphraser.get_weights(), after)
    all_close(model.teacher.get_weights(), phase1.weights("teacher"))


@pytest.fixture
def distiller(phase2):
    def build(method):
        also = [
            transfers.SoftTargets(temperature=4.0, beta=KD),
            transfers.AttentionTransfer(beta=AT),
        ]
        model = FactorTransfer(
            classifier(phase2, "teacher", 8),
            classifier(phase2, "student", 6),
            loaded_paraphraser(phase2),
            beta=BETA,
            also=also if method == "ft+kd+at" else [],
            acceleration="none",
        )
        model.translator.set_weights(phase2.weights("translator"))
        return model

    return build


LOSS = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
METHODS = ["ft", "ft+kd+at"]


@pytest.mark.parametrize("part", ["student", "translator"])
@pytest.mark.parametrize("method", METHODS)
def test_gradients_of_phase_2(phase2, distiller, method, part):
    model = distiller(method)
    model.compile(keras.optimizers.SGD(1.0), LOSS)
    batch = phase2.maps("images"), phase2["labels"]
    received = gradients_of(model, getattr(model, part), *batch)
    all_close(received, phase2.weights(f"{method}/gradient/{part}"))


@pytest.mark.parametrize("method", METHODS)
def test_steps_of_phase_2(phase2, distiller, method):
    model = distiller(method)
    model.compile(official(), LOSS)
    terms = ["loss", "task_loss", "factor_loss"]
    if method == "ft+kd+at":
        terms += ["soft_target_loss", "attention_loss"]
    batch = phase2.maps("images"), phase2["labels"]
    for expected in phase2[f"{method}/loss"]:
        logs = model.train_on_batch(*batch, return_dict=True)
        close([logs[term] for term in terms], expected[: len(terms)])
        model.reset_metrics()
    after = phase2.weights(f"{method}/after/student")
    # PyTorch keeps the unbiased variance of a batch, Keras the biased one.
    start, variance = phase2.weights("student")[5], 5
    rest = 0.9 ** len(phase2[f"{method}/loss"]) * start
    count = batch[0][..., 0].size
    after[variance] = rest + (after[variance] - rest) * (count - 1) / count
    all_close(model.student.get_weights(), after)
    after = phase2.weights(f"{method}/after/translator")
    all_close(model.translator.get_weights(), after)
    all_close(model.teacher.get_weights(), phase2.weights("teacher"))
    all_close(model.paraphraser.get_weights(), phase2.weights("paraphraser"))
