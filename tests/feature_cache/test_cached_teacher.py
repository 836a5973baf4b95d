"""`cache.teacher` trains as the teacher does, and holds nothing of it."""

import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.transfers import SoftTargets


@pytest.fixture(scope="module")
def even(make_data):
    """Batches of one size, so that each step is traced once."""
    return make_data(batch_size=8, drop_remainder=True)


@pytest.fixture
def cache(teacher, even, build):
    return build(None, teacher, even, logits=True, dtype="float32")


def _compiled(model):
    model.compile(
        keras.optimizers.SGD(0.05, momentum=0.9),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def _trained(teacher, student, source):
    """Weights and logs of both phases; the same beginnings each time.

    The source is a cache, or the data themselves.
    """
    keras.utils.set_random_seed(3)
    paraphraser = keras_ft.Paraphraser(0.5)
    phase1 = _compiled(keras_ft.ParaphraserTrainer(teacher, paraphraser))
    steps = {"steps_per_epoch": source.steps_per_epoch, "verbose": 0}
    logs = [phase1.fit(source.train_from(0), epochs=2, **steps).history]
    model = keras_ft.FactorTransfer(
        teacher,
        student,
        paraphraser,
        beta=20.0,
        also=[SoftTargets(beta=0.5)],
    )
    history = _compiled(model).fit(
        source.train_from(0),
        epochs=2,
        validation_data=source.validation,
        **steps,
    )
    logs.append(history.history)
    weights = [layer.get_weights() for layer in (paraphraser, model.translator)]
    return logs, [*weights, student.get_weights()], (phase1, model)


def test_both_phases_equal_those_with_the_teacher(
    teacher, even, cache, network
):
    student = network(channels=4, name="student")
    start = student.get_weights()
    # The teacher itself, in every step, on images.
    live_logs, live_weights, _ = _trained(teacher, student, even)
    # A bias before batch normalization has no gradient, and stays.
    moved = [
        np.abs(old - new).max()
        for weight, old, new in zip(
            student.weights, start, live_weights[-1], strict=True
        )
        if not weight.path.endswith("conv/bias")
    ]
    assert len(moved) == len(start) - 1 and min(moved) > 1e-3
    student.set_weights(start)
    logs, weights, _ = _trained(cache.teacher, student, cache)
    for mine, theirs in zip(logs, live_logs, strict=True):
        assert mine.keys() == theirs.keys()
        for name, values in theirs.items():
            assert mine[name] == pytest.approx(values, rel=1e-4), name
    # Sums in another order: one pass of 16 images, or steps of 8.
    for mine, theirs in zip(weights, live_weights, strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_allclose(one, other, rtol=0, atol=1e-5)


def test_nothing_holds_the_teacher(network, even, build):
    teacher = network()
    count = len(teacher.variables)
    seen = [weakref.ref(thing) for thing in (teacher, *teacher.variables)]
    cache = build(None, teacher, even, logits=True)
    del teacher
    _, _, (phase1, _) = _trained(cache.teacher, network(channels=4), cache)
    gc.collect()
    assert len(seen) == 1 + count
    assert not [it for it in seen if it() is not None]
    assert cache.teacher.variables == []
    assert phase1.frozen_variables == []
    assert phase1.accelerated["teacher"] == "as it is: it has no weights"


def test_it_has_the_taps_the_input_and_the_output(teacher, data, build):
    cache = build(None, teacher, data, taps=(None, "conv"))
    model = cache.teacher
    assert model.input_shape == teacher.input_shape
    assert model.output_shape == teacher.output_shape
    table = taps_of(model)
    assert [tap.name for tap in table] == ["conv", "features"]
    for name in ("conv", "features", None):
        mine = find_tap(model, name, "")
        theirs = find_tap(teacher, name, "")
        assert (mine.name, mine.shape) == (theirs.name, theirs.shape)
        assert (mine.stride, mine.default) == (theirs.stride, theirs.default)


def test_a_tap_inside_a_nested_model_is_found(network, data, build):
    inner = network(name="backbone")
    image = keras.Input((8, 8, 3))
    teacher = keras.Model(image, keras.layers.Dense(4)(inner(image)))
    taps = ("backbone/conv", "backbone/features")
    cache = build(None, teacher, data, taps=taps, dtype="float32")
    paraphraser = keras_ft.Paraphraser(0.5)
    errors = [
        _compiled(
            keras_ft.ParaphraserTrainer(
                model, paraphraser, teacher_layer_name=name
            )
        ).evaluate(batches, verbose=0)
        for model, name, batches in (
            (teacher, taps[0], data.test),
            (cache.teacher, taps[0], cache.test),
            (cache.teacher, taps[1], cache.test),
        )
    ]
    assert errors[1] == pytest.approx(errors[0], rel=1e-5)
    assert errors[2] != pytest.approx(errors[0], rel=1e-2)


def test_a_transformers_tokens_are_kept_as_a_map(data, build):
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(6, 4, strides=4)(image)
    x = keras.layers.Reshape((4, 6))(x)
    x = keras.layers.LayerNormalization(name="norm")(x)
    x = keras.layers.GlobalAveragePooling1D()(x)
    teacher = keras.Model(image, keras.layers.Dense(4)(x))
    cache = build(None, teacher, data, dtype="float32")
    tap = find_tap(cache.teacher, None, "")
    assert (tap.name, tap.shape) == ("norm", (2, 2, 6))
    model = keras_ft.ParaphraserTrainer(teacher, keras_ft.Paraphraser(0.5))
    live = _compiled(model).evaluate(data.test, verbose=0)
    model = keras_ft.ParaphraserTrainer(cache.teacher, model.paraphraser)
    cached = _compiled(model).evaluate(cache.test, verbose=0)
    assert cached == pytest.approx(live, rel=1e-5)


@pytest.mark.parametrize("jit_compile", ["auto", False])
def test_without_cached_outputs_it_refuses(
    jit_compile, cache, data, network, paraphraser
):
    model = keras_ft.FactorTransfer(
        cache.teacher, network(channels=4), paraphraser
    )
    _compiled(model)
    if not jit_compile:
        model.run_eagerly = True
    with pytest.raises(InputError, match="without cached outputs"):
        model.fit(data.train, epochs=1, verbose=0)
    with pytest.raises(InputError, match="without cached outputs"):
        cache.teacher(np.zeros((2, 8, 8, 3), "float32"))


def test_the_wrapper_saves_and_loads(tmp_path, cache, network, paraphraser):
    model = _compiled(
        keras_ft.FactorTransfer(cache.teacher, network(channels=4), paraphraser)
    )
    steps = {"steps_per_epoch": 2, "verbose": 0}
    model.fit(cache.train_from(0), **steps)
    model.save(tmp_path / "model.keras")
    same = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(
        model.predict(cache.test, verbose=0),
        same.predict(cache.test, verbose=0),
    )
    for each in (model, same):
        each.fit(cache.train_from(1), **steps)
    for mine, theirs in zip(
        model.student.get_weights(), same.student.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


@pytest.mark.slow
def test_another_process_loads_it(tmp_path, cache):
    cache.teacher.save(tmp_path / "teacher.keras")
    code = (
        "import keras, sys, keras_ft.feature_cache\n"
        "model = keras.models.load_model(sys.argv[1])\n"
        "print(model.get_layer('features').output.shape)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, tmp_path / "teacher.keras"],
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "(None, 8, 8, 8)", done.stderr


def test_an_opened_cache_has_it_too(folder, teacher, data):
    digest = FeatureCache.open(folder, teacher, data).teacher_digest
    del teacher
    cache = FeatureCache.open(folder, None, data, teacher_digest=digest)
    assert cache.teacher.output_shape == (None, 4)
    assert find_tap(cache.teacher, None, "").name == "features"
