"""Classes of uneven size count alike where it is asked for."""

import keras
import numpy as np
import PIL.Image
import pytest
from absl import flags as absl_flags

from keras_ft import data
from keras_ft import experiments
from keras_ft import losses
from keras_ft.cli import distill
from keras_ft.cli import flags
from keras_ft.errors import InputError
from keras_ft.experiments.training import compile_model
from keras_ft.recipes import Recipe
from keras_ft.transfers import SoftTargets
from keras_ft.tuner import SearchSettings

WEIGHTS = (0.5, 1.0, 2.0, 3.0)
DRAW = np.random.default_rng(0)
IMAGES = DRAW.normal(size=(16, 8, 8, 3)).astype("float32")
LABELS = DRAW.integers(0, 4, 16).astype("int32")
LOGITS = DRAW.normal(size=(16, 4)).astype("float32")


def by_hand(labels: np.ndarray, logits: np.ndarray) -> np.ndarray:
    """Return each image's weighted cross-entropy in float64."""
    logits = logits.astype(float)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return np.array(
        [
            -WEIGHTS[c] * row[c] if c >= 0 else 0.0
            for c, row in zip(labels, logs, strict=True)
        ]
    )


@pytest.mark.parametrize("sparse", [True, False])
def test_it_trains_as_class_weight_of_fit(network, sparse):
    if sparse:
        plain: type = keras.losses.SparseCategoricalCrossentropy
        weighted: type = losses.ClassWeightedSparseCrossentropy
        labels = LABELS
    else:
        plain = keras.losses.CategoricalCrossentropy
        weighted = losses.ClassWeightedCrossentropy
        labels = np.eye(4, dtype="float32")[LABELS]

    def train(loss, **settings):
        keras.utils.set_random_seed(0)
        student = network()
        student.compile("sgd", loss)
        student.fit(
            IMAGES, labels, batch_size=8, verbose=0, shuffle=False, **settings
        )
        return student.get_weights()

    theirs = train(
        plain(from_logits=True), class_weight=dict(enumerate(WEIGHTS))
    )
    ours = train(weighted(WEIGHTS, from_logits=True))
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7)


def test_images_without_a_label_do_not_count():
    labels = np.where(np.arange(16) % 3 == 0, -1, LABELS)
    loss = losses.ClassWeightedSparseCrossentropy(
        WEIGHTS, from_logits=True, ignore_class=-1
    )
    expected = by_hand(labels, LOGITS).sum() / np.sum(labels >= 0)
    assert float(loss(labels, LOGITS)) == pytest.approx(expected, rel=1e-5)
    # As a column, and weighed once more.
    more = DRAW.uniform(size=16).astype("float32")
    expected = (by_hand(labels, LOGITS) * more).sum() / np.sum(labels >= 0)
    assert float(loss(labels[:, None], LOGITS, more)) == pytest.approx(
        expected, rel=1e-5
    )


def test_a_class_per_pixel():
    labels, logits = LABELS.reshape(2, 2, 4), LOGITS.reshape(2, 2, 4, 4)
    loss = losses.ClassWeightedSparseCrossentropy(WEIGHTS, from_logits=True)
    assert float(loss(labels, logits)) == pytest.approx(
        by_hand(LABELS, LOGITS).mean(), rel=1e-5
    )


def test_mixed_labels_weigh_each_part():
    one, other = LABELS, LABELS[::-1]
    rows = 0.3 * np.eye(4)[one] + 0.7 * np.eye(4)[other]
    loss = losses.ClassWeightedCrossentropy(WEIGHTS, from_logits=True)
    expected = 0.3 * by_hand(one, LOGITS) + 0.7 * by_hand(other, LOGITS)
    assert float(loss(rows.astype("float32"), LOGITS)) == pytest.approx(
        expected.mean(), rel=1e-5
    )


@pytest.mark.parametrize(
    "kind",
    [losses.ClassWeightedCrossentropy, losses.ClassWeightedSparseCrossentropy],
)
def test_it_can_be_saved(kind):
    loss = kind(WEIGHTS, from_logits=True)
    copy = keras.losses.deserialize(keras.losses.serialize(loss))
    assert copy.get_config() == loss.get_config()
    assert copy.class_weights == list(WEIGHTS)


@pytest.fixture
def uneven(tmp_path):
    for name, count in (("cat", 30), ("dog", 6), ("unlabelled", 8)):
        folder = tmp_path / "photos" / name
        folder.mkdir(parents=True)
        for index in range(count):
            pixels = DRAW.integers(0, 256, (8, 8, 3), np.uint8)
            PIL.Image.fromarray(pixels).save(folder / f"{index}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("augment", ["none", "mixup"])
def test_a_folder_gives_the_weights(uneven, network, augment):
    loaded = data.load(
        uneven, batch_size=8, augment=augment, class_weights="balanced"
    )
    assert loaded.class_counts["train"] == [24, 5]
    assert loaded.class_weights == pytest.approx((29 / 48, 29 / 10))
    student = network(classes=2)
    compile_model(student, loaded)
    assert student.loss.class_weights == list(loaded.class_weights)
    plain = data.load(uneven, batch_size=8, augment=augment)
    compile_model(student, plain)
    assert not hasattr(student.loss, "class_weights")


def test_what_the_teacher_teaches_is_weighed_as_before(uneven, network):
    from keras_ft import Distiller

    logged = {}
    for asked in (None, "balanced"):
        loaded = data.load(uneven, batch_size=8, class_weights=asked)
        keras.utils.set_random_seed(0)
        model = Distiller(
            network(classes=2), network(classes=2), [SoftTargets()]
        )
        compile_model(model, loaded)
        logged[asked] = model.evaluate(loaded.test, return_dict=True, verbose=0)
    plain, balanced = logged.values()
    (term,) = set(plain) - {
        "loss",
        "task_loss",
        "regularization_loss",
        "accuracy",
    }
    assert balanced[term] == plain[term]
    assert balanced["task_loss"] != plain["task_loss"]


def test_bad_words_and_streamed_sets_are_refused():
    with pytest.raises(InputError, match="'balanced' or None"):
        data.load("fashion_mini", class_weights="even")


@pytest.mark.parametrize("kind", [experiments.Settings, SearchSettings])
def test_settings_and_flags(kind):
    values = absl_flags.FlagValues()
    distill.define(values)
    values(["", "--class_weights=balanced"])
    assert flags.settings(values)["class_weights"] == "balanced"
    recipe = Recipe.preset("official")
    settings = kind(
        recipe=recipe, teacher="fashion_mini", class_weights="balanced"
    )
    assert settings.configuration()["class_weights"] == "balanced"
    plain = kind(recipe=recipe, teacher="fashion_mini")
    assert "class_weights" not in plain.configuration()
