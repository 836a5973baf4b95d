import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.experiments.comparison.named_taps import layer_name
from keras_ft.experiments.comparison.named_taps import with_named_taps
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap
from keras_ft.transfers import AttentionTransfer


@pytest.fixture(scope="module")
def teacher():
    # Made before the seed that every test gets.
    keras.utils.set_random_seed(1)
    return zoo.resnet8(10, (28, 28, 1))


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(4, 28, 28, 1)).astype("f")


def taps(teacher, **wanted):
    return {
        name: find_tap(teacher, layer, "taps") for name, layer in wanted.items()
    }


def features(model, name, images):
    found = find_tap(model, name, "taps")
    return np.asarray(
        feature_extractor(model, [found])(images, training=False)[0]
    )


def test_the_output_and_the_weights_are_the_teachers(teacher, images):
    wanted = taps(teacher, factor="stage3", attention_1="stage1")
    model = with_named_taps(teacher, wanted)
    np.testing.assert_array_equal(model(images), teacher(images))
    ours = {id(variable) for variable in model.variables}
    assert ours == {id(variable) for variable in teacher.variables}
    assert with_named_taps(teacher, {}) is teacher


def test_features_pass_and_attention_shrinks_to_one_channel(teacher, images):
    wanted = taps(teacher, factor="stage3", attention_1="stage1")
    model = with_named_taps(teacher, wanted)
    np.testing.assert_array_equal(
        features(model, layer_name("factor"), images),
        features(teacher, "stage3", images),
    )
    assert features(model, layer_name("attention_1"), images).shape == (
        4,
        28,
        28,
        1,
    )


def test_the_attention_loss_is_the_same(teacher, images):
    model = with_named_taps(teacher, taps(teacher, attention_1="stage2"))
    student = features(zoo.resnet8(10, (28, 28, 1)), "stage2", images)
    whole = AttentionTransfer()(features(teacher, "stage2", images), student)
    small = AttentionTransfer()(
        features(model, layer_name("attention_1"), images), student
    )
    assert np.all(np.asarray(whole) > 0)
    # A small difference of two rounded unit vectors, squared.
    np.testing.assert_allclose(small, whole, rtol=1e-3)


def test_taps_of_a_nested_teacher(teacher, images):
    image = keras.Input((28, 28, 1))
    outer = keras.Model(image, keras.layers.Dense(4)(teacher(image)))
    tap = taps(outer, factor=f"{teacher.name}/stage3")
    model = with_named_taps(outer, tap)
    np.testing.assert_allclose(
        features(model, layer_name("factor"), images),
        features(teacher, "stage3", images),
        rtol=1e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_it_can_be_folded(teacher, dtype):
    wanted = taps(teacher, factor="stage3", attention_1="stage1")
    model = with_named_taps(teacher, wanted)
    chosen = [find_tap(model, layer_name(n), "taps") for n in wanted]
    folded = fold(feature_extractor(model, chosen), dtype)
    assert not any("_bn" in layer.name for layer in folded.layers)
