"""How a cache runs the teacher, and how near it must be to it."""

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.acceleration import folded_teacher
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.data import load
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import rows
from keras_ft.feature_cache import teacher_pass
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap


@keras.saving.register_keras_serializable(package="test_teacher_pass")
class OwnScale(keras.layers.Layer):
    """Counts its calls: state, which cannot be folded."""

    def build(self, shape):
        self.calls = self.add_weight((), name="calls", trainable=False)

    def call(self, inputs):
        self.calls.assign_add(1.0)
        return inputs * 2.0

    def compute_output_shape(self, shape):
        return shape


@pytest.fixture
def said():
    return []


def _features(cache):
    return np.concatenate(
        [x["features"]["features"] for x, _ in cache.validation]
    )


@pytest.mark.parametrize(
    ("gains", "logits"),
    [
        (True, True),
        pytest.param(True, False, marks=pytest.mark.long),
        pytest.param(False, True, marks=pytest.mark.long),
        (False, False),
    ],
)
def test_a_folded_teacher_fills_a_cache(
    gains, logits, teacher, data, build, said, monkeypatch
):
    monkeypatch.setattr(teacher_pass, "gains_from_bfloat16", lambda: gains)
    cache = build(
        None,
        teacher,
        data,
        acceleration="auto",
        logits=logits,
        echo=said.append,
    )
    precision = "bfloat16" if gains else "float32"
    assert said[0].endswith(f"the teacher runs folded, {precision}")
    plain = _features(build(None, teacher, data))
    found = _features(cache)
    assert folded_teacher.cosine(plain, found) >= folded_teacher.COSINE
    # It did run folded: not to the last bit the same.
    assert not np.array_equal(plain, found)


def test_folding_is_the_default(teacher, data, said):
    FeatureCache.build(None, teacher, data, views=1, echo=said.append)
    assert "the teacher runs folded, " in said[0]
    assert "runs folded, " in FeatureCache.describe(teacher, data)


def test_float32_keeps_the_teachers_own_bits(teacher, data, build, said):
    settings = {"dtype": "float32", "echo": said.append}
    cache = build(None, teacher, data, acceleration="auto", **settings)
    assert "as it is: float32 keeps its own outputs" in said[0]
    plain = build(None, teacher, data, acceleration="none", **settings)
    np.testing.assert_array_equal(_features(cache), _features(plain))


def test_none_folds_nothing(teacher, data, build, said):
    build(None, teacher, data, acceleration="none", echo=said.append)
    assert said[0].endswith('the teacher runs as it is: acceleration="none"')


@pytest.mark.long
def test_every_image_is_near_enough_in_bfloat16():
    """Some are farther off than storing may cost, which is a smaller limit."""
    teacher = zoo.pretrained("fashion_mini")
    stages = [find_tap(teacher, f"stage{n}", "taps") for n in (1, 2, 3)]
    watched = feature_extractor(teacher, stages)
    folded = fold(watched, "bfloat16")
    for images, _ in load("fashion_mini", 128).test:
        pairs = zip(watched(images), folded(images), strict=True)
        for live, other in pairs:
            _, cosines = rows.distances(live, other)
            assert teacher_pass.ACCELERATED.missed(cosines) is None


def test_what_cannot_be_folded_runs_as_it_is(data, build, said):
    inputs = keras.Input(data.input_shape)
    features = keras.layers.Conv2D(4, 3, name="conv")(inputs)
    features = OwnScale(name="features")(features)
    outputs = keras.layers.GlobalAveragePooling2D()(features)
    teacher = keras.Model(inputs, outputs, name="teacher")
    build(None, teacher, data, acceleration="auto", echo=said.append)
    assert "the teacher runs as it is: layer 'features' (OwnScale) " in said[0]


def test_a_fold_that_is_far_off_on_the_users_images_is_not_used(
    teacher, data, build, said, monkeypatch
):
    monkeypatch.setattr(teacher_pass, "fold", _turned)
    build(None, teacher, data, acceleration="auto", echo=said.append)
    assert "as it is: folded, a mean cosine of -1.00000, below" in said[0]


def test_a_fold_that_bfloat16_cannot_is_tried_in_float32(
    teacher, data, build, said, monkeypatch
):
    def only_float32(view, dtype, *args, **kwargs):
        if dtype == "bfloat16":
            return _turned(view)
        return fold(view, dtype, *args, **kwargs)

    monkeypatch.setattr(teacher_pass, "fold", only_float32)
    monkeypatch.setattr(teacher_pass, "gains_from_bfloat16", lambda: True)
    build(None, teacher, data, acceleration="auto", echo=said.append)
    assert (
        "the teacher runs folded, float32; folded, a mean cosine of -1.00000"
    ) in said[0]


def _turned(view, *_, **__):
    """A network with the opposite outputs."""
    outputs = [keras.ops.negative(x) for x in view.outputs]
    return keras.Model(view.inputs[0], outputs)


def test_another_choice_is_refused(teacher, data, build):
    with pytest.raises(InputError, match="Invalid `acceleration`.*'fast'"):
        build(None, teacher, data, acceleration="fast")


@pytest.mark.parametrize(
    ("cosines", "missed"),
    [
        ([0.9991, 0.9991], None),
        ([0.9985] * 16, "a mean cosine of 0.99850, below 0.999"),
        ([0.9925] + [1.0] * 15, None),
        ([0.9875] + [1.0] * 15, "a cosine of 0.98750, below 0.99"),
        ([float("nan"), 1.0], "a mean cosine of nan, below 0.999"),
    ],
)
def test_both_limits_count(cosines, missed):
    assert teacher_pass.ACCELERATED.missed(np.float32(cosines)) == missed


def test_logits_are_kept_of_a_teacher_that_ends_in_a_softmax(network):
    bare = network(4)
    teacher = keras.Sequential([bare, keras.layers.Softmax()])
    images = (
        np.ones((5, 8, 8, 3), "float32") * np.arange(5)[:, None, None, None]
    )
    (logits,) = teacher_pass.live_teacher(teacher, [], True)(
        images.astype("float32")
    )
    np.testing.assert_allclose(logits, bare(images), atol=1e-6)
