"""From a method's name to its terms, weights and feature maps."""

import keras
import numpy as np
import pytest

from keras_ft import Recipe
from keras_ft import methods
from keras_ft import zoo
from keras_ft.errors import InputError
from keras_ft.methods import METHODS
from keras_ft.methods import TITLES
from keras_ft.methods import parse
from keras_ft.methods import parse_all


def test_the_default_methods_are_themselves():
    assert tuple(parse(word).name for word in METHODS) == METHODS
    assert parse("none").parts == ()
    assert set(TITLES) == {"ft", "fitnet", "at", "kd", "skd", "dkd"}


def test_a_sum_has_one_spelling():
    assert parse("kd+ft") == parse("ft+kd")
    assert parse("kd+ft").title == "FT+KD"
    assert len(parse_all(("kd+ft", "none", "ft+kd"))) == 2


@pytest.mark.parametrize("word", ["", "ft+", "ft+ft", "none+kd", "crd", "FT"])
def test_other_words_are_refused(word):
    with pytest.raises(InputError, match="methods"):
        parse(word, "methods")


@pytest.mark.parametrize("word", ["kd+skd", "ft+skd+dkd", "kd+dkd+skd"])
def test_a_method_compares_outputs_once(word):
    with pytest.raises(InputError, match="at most one of kd, skd, dkd"):
        parse(word)


def test_no_method_at_all_is_refused():
    with pytest.raises(InputError, match="none at all"):
        parse_all(())


@pytest.fixture(scope="module")
def student():
    return zoo.resnet8(10, (28, 28, 1))


def names(pairs):
    return {name: (t.name, s.name) for name, (t, s) in pairs.items()}


def test_stages_of_the_zoo(student):
    teacher = zoo.resnet14(10, (28, 28, 1))
    wanted = parse_all(("fitnet", "ft+at"))
    found = names(methods.tap_pairs(wanted, teacher, student))
    assert found == {
        "factor": ("stage3", "stage3"),
        "hint": ("stage2", "stage2"),
        "attention_1": ("stage1", "stage1"),
        "attention_2": ("stage2", "stage2"),
        "attention_3": ("stage3", "stage3"),
    }


def test_only_what_is_wanted(student):
    wanted = parse_all(("none", "kd", "skd", "dkd"))
    assert not methods.tap_pairs(wanted, student, student)
    only = methods.tap_pairs(
        parse_all(("ft",)), student, student, "stage2", "stage1"
    )
    assert names(only) == {"factor": ("stage2", "stage1")}


def test_what_was_not_learned_is_no_stage():
    layers = keras.layers
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 255, name="raw")(layers.RandomFlip()(image))
    x = layers.Conv2D(4, 3, 2, padding="same", name="conv")(x)
    x = layers.ReLU(name="relu")(x)
    x = layers.GlobalAveragePooling2D()(layers.Dropout(0.1)(x))
    model = keras.Model(image, layers.Dense(2)(x))
    found = methods.tap_pairs(parse_all(("at",)), model, model)
    assert methods.names_of(found) == {"attention_1": ("relu", "relu")}


def test_networks_without_stages_are_paired_by_size(student):
    # Maps of 28x28 only, the last of which is its ReLU's.
    layers = keras.layers
    image = keras.Input((28, 28, 1))
    x = layers.ZeroPadding2D(1)(image)
    x = layers.ReLU(name="last")(layers.Conv2D(4, 3)(x))
    x = layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, layers.Dense(10)(x))
    found = names(methods.tap_pairs(parse_all(("at",)), teacher, student))
    assert found == {"attention_1": ("last", "stage1")}


def test_no_size_in_common_is_refused(network, student):
    with pytest.raises(InputError, match="8x8 in the teacher"):
        methods.tap_pairs(parse_all(("at",)), network(), student)


def test_the_loss_is_the_documented_mixture(network, paraphraser, batch):
    """(1 - alpha) * labels + alpha * KD + beta * FT, term by term."""
    recipe = Recipe.preset("official").replace(beta=7.0, kd_alpha=0.3)
    teacher, student = network(8), network(4)
    model = methods.build("kd+ft", recipe, teacher, student, paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    logs = model.evaluate(*batch, batch_size=24, verbose=0, return_dict=True)
    images, labels = batch
    logits = [np.asarray(n(images, training=False)) for n in (teacher, student)]

    def log_softmax(values):
        values = values - values.max(-1, keepdims=True)
        return values - np.log(np.exp(values).sum(-1, keepdims=True))

    cross_entropy = -log_softmax(logits[1])[np.arange(24), labels].mean()
    soft, ours = (log_softmax(each / 4.0) for each in logits)
    divergence = 16.0 * (np.exp(soft) * (soft - ours)).sum(-1).mean()
    assert logs["task_loss"] == pytest.approx(cross_entropy, rel=1e-4)
    assert logs["soft_target_loss"] == pytest.approx(divergence, rel=1e-4)
    expected = 0.7 * cross_entropy + 0.3 * divergence
    expected += 7.0 * logs["factor_loss"] + logs["regularization_loss"]
    assert logs["loss"] == pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize(
    ("method", "task_weight", "published"),
    [
        ("kd", 0.1, {"beta": 0.9, "temperature": 4.0}),
        ("skd", 0.1, {"beta": 9.0, "temperature": 2.0, "standardize": True}),
        (
            "dkd",
            1.0,
            {
                "beta": 1.0,
                "temperature": 4.0,
                "target_weight": 1.0,
                "non_target_weight": 8.0,
                "standardize": False,
            },
        ),
    ],
)
def test_soft_targets_have_the_published_weights(
    network, method, task_weight, published
):
    recipe = Recipe.preset("official")
    assert methods.use_outputs([parse(method)])
    model = methods.build(method, recipe, network(8), network(4))
    assert model.task_weight == pytest.approx(task_weight)
    (term,) = model.transfers
    for name, value in published.items():
        assert float(getattr(term, name)) == pytest.approx(float(value)), name


def test_the_weights_of_soft_targets_are_the_recipes(network, paraphraser):
    recipe = Recipe.preset("official").replace(
        skd_temperature=3.0,
        skd_task_weight=0.5,
        skd_beta=2.0,
        dkd_temperature=5.0,
        dkd_target_weight=0.25,
        dkd_non_target_weight=4.0,
    )
    teacher = network(8)
    skd = methods.build("skd+ft", recipe, teacher, network(4), paraphraser)
    assert [t.name for t in skd.transfers] == ["factor", "soft_target"]
    term = skd.transfers[1]
    assert (term.temperature, float(term.beta)) == (3.0, 2.0)
    assert skd.task_weight == 0.5
    dkd = methods.build("ft+dkd", recipe, teacher, network(4), paraphraser)
    term = dkd.transfers[1]
    assert (term.temperature, term.target_weight) == (5.0, 0.25)
    assert term.non_target_weight == 4.0 and dkd.task_weight == 1.0


def test_plain_training_is_the_student_itself(network):
    student = network(4)
    recipe = Recipe.preset("official")
    assert methods.build("none", recipe, None, student) is student


def test_what_a_method_needs_is_asked_for(network):
    recipe = Recipe.preset("official")
    with pytest.raises(InputError, match="needs a teacher"):
        methods.build("kd", recipe, None, network(4))
    with pytest.raises(InputError, match="needs a paraphraser"):
        methods.build("ft", recipe, network(8), network(4))
