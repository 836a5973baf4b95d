"""What a cache holds: the live teacher's outputs, in the right rows."""

import io
import itertools
import sys

import keras
import numpy as np
import pytest

from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache.teacher_pass import live_teacher
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap


def _live(teacher, images):
    """Features and logits as Keras computes them."""
    tap = find_tap(teacher, None, "taps")
    return feature_extractor(teacher, [tap]).predict_on_batch(
        np.asarray(images)
    )


def _batches(stream, count):
    return list(itertools.islice(iter(stream), count))


def _relative(one, other):
    rows = len(one)
    apart = np.linalg.norm((one - other).reshape(rows, -1), axis=1)
    return np.max(apart / np.linalg.norm(one.reshape(rows, -1), axis=1))


@pytest.mark.parametrize("place", ["memory", "disk"])
def test_float32_is_the_live_teacher_exactly(
    place, tmp_path, teacher, data, build, small_blocks
):
    folder = None if place == "memory" else tmp_path / "a cache"
    cache = build(folder, teacher, data, logits=True, dtype="float32")
    parts = [*_batches(cache.train_from(0), 6), *cache.validation, *cache.test]
    assert len(parts) == 6 + 2 + 1
    for x, _ in parts:
        features, logits = _live(teacher, x["images"])
        np.testing.assert_array_equal(x["features"]["features"], features)
        np.testing.assert_array_equal(x["logits"], logits)
    assert cache.error["features"]["absolute"] == 0.0


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_smaller_types_are_within_the_stated_error(dtype, teacher, data, build):
    cache = build(None, teacher, data, logits=True, dtype=dtype)
    found = {"features": [0.0], "logits": [0.0]}
    relative = [0.0]
    parts = [*_batches(cache.train_from(0), 6), *cache.validation, *cache.test]
    for x, _ in parts:
        features, logits = _live(teacher, x["images"])
        stored = np.asarray(x["features"]["features"])
        found["features"].append(np.abs(stored - features).max())
        found["logits"].append(np.abs(x["logits"] - logits).max())
        relative.append(_relative(features, stored))
    for name, absolute in found.items():
        # The statement is the maximum over exactly these rows.
        assert max(absolute) == pytest.approx(cache.error[name]["absolute"])
        assert max(absolute) > 0
    stated = cache.error["features"]["relative"]
    assert max(relative) == pytest.approx(stated, rel=1e-3)
    assert stated < {"float16": 5e-4, "int8": 1e-2}[dtype]


@pytest.mark.parametrize(
    ("dtype", "batch_size", "augment", "drop_remainder"),
    [
        ("float32", 7, "crop+flip", False),
        pytest.param("float32", 16, "none", True, marks=pytest.mark.long),
        ("float32", 7, "crop+mixup+cutmix", False),
        ("int8", 7, "flip+randaugment", True),
    ],
)
def test_rows_belong_together_in_every_epoch(
    dtype, drop_remainder, batch_size, augment, teacher, make_data, build
):
    data = make_data(
        batch_size=batch_size, augment=augment, drop_remainder=drop_remainder
    )
    cache = build(None, teacher, data, views=3, dtype=dtype)
    steps = cache.steps_per_epoch
    assert (
        steps == data.steps_per_epoch == 40 // batch_size + (not drop_remainder)
    )
    views = [_batches(data.train_from(view), steps) for view in range(3)]
    # Begins in epoch 2 and wraps around twice.
    expected = itertools.chain(*(views[(2 + epoch) % 3] for epoch in range(5)))
    cached = _batches(cache.train_from(2), 5 * steps)
    for (x, labels), (images, known) in zip(cached, expected, strict=True):
        np.testing.assert_array_equal(x["images"], images)
        np.testing.assert_array_equal(labels, known)
        features, _ = _live(teacher, images)
        assert _relative(features, np.asarray(x["features"]["features"])) < (
            1e-6 if dtype == "float32" else 0.02
        )
    shape = cache.train_from(0).element_spec[0]["features"]["features"].shape
    assert shape[0] == (batch_size if drop_remainder else None)


def test_views_differ_and_come_back(teacher, data, build):
    cache = build(None, teacher, data)
    parts = _batches(cache.train_from(0), 3 * cache.steps_per_epoch)
    first, second, third = (
        parts[place * 3][0]["features"]["features"] for place in range(3)
    )
    assert not np.array_equal(first, second)
    np.testing.assert_array_equal(first, third)


def test_several_taps_have_their_names(teacher, data, build):
    cache = build(None, teacher, data, taps=("conv", None))
    x, _ = next(iter(cache.validation))
    assert list(x["features"]) == list(cache.taps) == ["conv", "features"]
    watched = feature_extractor(
        teacher, [find_tap(teacher, "conv", "taps")]
    ).predict_on_batch(np.asarray(x["images"]))
    np.testing.assert_allclose(x["features"]["conv"], watched[0], atol=1e-2)


def test_logits_alone(teacher, data, build):
    cache = build(None, teacher, data, taps=(), logits=True)
    x, _ = next(iter(cache.test))
    assert set(x) == {"images", "features", "logits"} and not x["features"]
    assert x["logits"].shape == (12, 4)


def test_nothing_of_the_teacher_changes(network, data, build, tmp_path):
    teacher = network(dropout=0.5)
    before = [np.array(v) for v in teacher.variables]
    flags = [v.trainable for v in teacher.variables]
    build(tmp_path / "cache", teacher, data)
    FeatureCache.open(tmp_path / "cache", teacher, data)
    for variable, value in zip(teacher.variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert [v.trainable for v in teacher.variables] == flags
    assert teacher.trainable


def test_bytes_are_known_before(teacher, data, build):
    cache = build(None, teacher, data, dtype="int8")
    sentence = FeatureCache.describe(teacher, data, views=2, dtype="int8")
    assert f"{cache.bytes:,} bytes, about" in sentence
    assert "minutes" in sentence
    # 2 x 40 + 20 + 12 rows of 8x8x8 and 8 scales, a number and a check sum.
    assert cache.bytes == 112 * (512 + 8 * 4 + 8 + 8)


def test_a_build_says_how_far_it_is(teacher, data, build):
    lines = []
    build(None, teacher, data, echo=lines.append)
    assert "bytes" in lines[0]
    assert lines[-2].startswith("feature cache: batch 9/9, ")
    assert lines[-1].startswith("feature cache: float16 keeps features within")
    assert len(lines) == 1 + 9 + 1


def test_on_a_terminal_there_is_a_bar(teacher, data, build, monkeypatch):
    class Terminal(io.StringIO):
        def isatty(self):
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    build(None, teacher, data, echo=lambda line: None)
    assert "feature cache: 100%" in sys.stderr.getvalue()
    assert "9/9" in sys.stderr.getvalue()
    monkeypatch.setattr(sys, "stderr", Terminal())
    build(None, teacher, data, echo=None)
    assert not sys.stderr.getvalue()


def test_a_faster_teacher_may_compute_what_the_teacher_says(
    teacher, data, build, counting
):
    cache = build(None, teacher, data, forward=counting)
    # Four of them to measure the time.
    assert counting.calls == 9 + 4
    x, _ = next(iter(cache.test))
    features, _ = _live(teacher, x["images"])
    assert _relative(features, np.asarray(x["features"]["features"])) < 5e-4


def test_a_wrong_faster_teacher_is_refused(teacher, data, build, counting):
    with pytest.raises(InputError, match="at a mean cosine of .* to the live"):
        build(None, teacher, data, forward=lambda x: counting(x[::-1]))


@pytest.mark.parametrize(
    ("cosine", "all_rows", "refused"),
    [
        (0.9995, True, None),
        (0.9985, True, "a mean cosine of 0.99850, below 0.999"),
        # bfloat16 does that to a few images.
        (0.9925, False, None),
        (0.9875, False, "a cosine of 0.98750, below 0.99"),
    ],
)
def test_the_limits_of_a_faster_teacher(
    cosine, all_rows, refused, teacher, full_batches, build
):
    tap = [find_tap(teacher, None, "taps")]
    run = live_teacher(teacher, tap, False)

    def turned(images):
        """The features, turned by a known angle in a random direction."""
        (features,) = run(images)
        rows = np.reshape(features, (len(images), -1)).astype("float64")
        away = np.random.default_rng(0).normal(size=rows.shape)
        lengths = np.linalg.norm(rows, axis=1, keepdims=True)
        unit = rows / lengths
        away -= np.sum(away * unit, axis=1, keepdims=True) * unit
        away /= np.linalg.norm(away, axis=1, keepdims=True)
        other = lengths * (cosine * unit + np.sqrt(1 - cosine**2) * away)
        if not all_rows:
            other[1:] = rows[1:]
        return [np.reshape(other, features.shape).astype("float32")]

    if refused is None:
        build(None, teacher, full_batches, forward=turned)
        return
    with pytest.raises(InputError, match=refused):
        build(None, teacher, full_batches, forward=turned)


def test_a_nan_teacher_is_refused(teacher, data, build):
    kernel = teacher.get_layer("conv").kernel
    kernel.assign(np.full(kernel.shape, np.nan))
    with pytest.raises(InputError, match="Invalid `teacher`"):
        build(None, teacher, data)


@pytest.mark.parametrize("dtype", ["float16", "int8"])
def test_features_that_are_not_finite_are_refused(dtype, data, build):
    image = keras.Input((8, 8, 3))
    # Finite weights, infinite features.
    x = keras.layers.Rescaling(1e38, name="big")(image)
    x = keras.layers.Rescaling(1e10, name="infinite")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(4)(x))
    with pytest.raises(InputError, match="NaN or infinity in its 'infinite'"):
        build(None, teacher, data, taps=["infinite"], dtype=dtype)


def test_features_too_large_for_float16_are_refused(data, build):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1e6, name="big")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(4)(x))
    with pytest.raises(InputError, match="too small for the values of 'big'"):
        build(None, teacher, data, taps=["big"])
    exact = build(None, teacher, data, taps=["big"], dtype="float32")
    assert exact.taps == ("big",)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"dtype": "bfloat16"}, "dtype"),
        ({"views": 0}, "views"),
        ({"views": 2.0}, "views"),
        ({"views": None}, "views"),
        ({"taps": ()}, "taps"),
        ({"taps": "conv"}, "taps"),
        ({"taps": ("nowhere",)}, "taps"),
        ({"taps": (None, "features")}, "taps"),
    ],
)
def test_bad_requests_are_refused(change, named, teacher, data, build):
    with pytest.raises(InputError, match=f"`{named}`"):
        build(None, teacher, data, **change)


def test_data_of_another_kind_is_refused(teacher, data, build):
    with pytest.raises(InputError, match="`data` is a .*Dataset"):
        build(None, teacher, data.train)


def test_images_the_teacher_cannot_take_are_refused(teacher, make_data, build):
    with pytest.raises(InputError, match="images of shape"):
        build(None, teacher, make_data(size=12))


@pytest.mark.parametrize(
    "kind",
    [
        pytest.param("memory", marks=pytest.mark.long),
        pytest.param("disk", marks=pytest.mark.long),
        "lazy",
    ],
)
def test_images_that_come_several_times_have_a_row_each(
    kind, tmp_path, teacher, make_data, build
):
    """With few labels; 7 of 40 images fill half of every batch."""
    few = make_data(labelled_examples=7, labelled_share=0.5)
    asked = {"logits": True, "dtype": "float32", "acceleration": "none"}
    if kind == "lazy":
        cache = FeatureCache.lazy(tmp_path / "a", teacher, few, **asked)
    else:
        folder = None if kind == "memory" else tmp_path / "a"
        cache = build(folder, teacher, few, **asked)
    assert cache.has_unlabelled and cache.steps_per_epoch == 3
    plain = _batches(few.train_from(0), 6)
    for (x, y), (images, labels) in zip(
        _batches(cache.train_from(0), 6), plain, strict=True
    ):
        np.testing.assert_array_equal(y, labels)
        np.testing.assert_array_equal(x["images"], images)
        features, logits = _live(teacher, images)
        np.testing.assert_array_equal(x["features"]["features"], features)
        np.testing.assert_array_equal(x["logits"], logits)
    if kind == "disk":
        opened = FeatureCache.open(tmp_path / "a", teacher, few)
        assert opened.views == 2
        with pytest.raises(InputError, match="labels"):
            FeatureCache.open(tmp_path / "a", teacher, make_data())
