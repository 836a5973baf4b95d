"""A lazily filled cache computes each epoch once, for good."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ft
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache

SCRIPT = Path(__file__).parent / "compute_and_die.py"


@pytest.fixture
def lazy(tmp_path, data, small_blocks):
    """`FeatureCache.lazy` in a folder, without a word and without folding."""

    def quietly(teacher, data=data, folder=tmp_path / "cache", **kwargs):
        return FeatureCache.lazy(
            folder,
            teacher,
            data,
            **{"acceleration": "none", "echo": None, **kwargs},
        )

    return quietly


def _read(dataset, count=None):
    """Everything in some batches, as arrays."""
    return [
        [np.asarray(part) for part in tf.nest.flatten(batch)]
        for batch in itertools.islice(iter(dataset), count)
    ]


def _assert_same(one, other):
    for mine, theirs in zip(one, other, strict=True):
        for a, b in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(a, b)


def _epochs(cache, epochs, begin=0):
    # All of them and no batch more: a pipeline reads ahead.
    steps = cache.steps_per_epoch * epochs
    return _read(cache.train_from(begin).take(steps))


def test_a_second_pass_runs_no_teacher(teacher, lazy, counting):
    cache = lazy(teacher, forward=counting)
    first = [_epochs(cache, 2), _read(cache.validation), _read(cache.test)]
    # Four to measure the time; of two epochs, validation and test every one.
    assert counting.calls >= 4 + 2 * 3 + 2 + 1
    counting.calls = 0
    _assert_same(_epochs(cache, 2), first[0])
    _assert_same(_read(cache.validation), first[1])
    again = lazy(teacher, forward=counting)
    for one, other in zip(
        [_epochs(again, 2), _read(again.validation), _read(again.test)],
        first,
        strict=True,
    ):
        _assert_same(one, other)
    assert counting.calls == 0


def test_every_epoch_is_its_own_view(teacher, data, lazy, build):
    cache = lazy(teacher)
    assert cache.views is None
    found = _epochs(cache, 4)
    features = [batch[0] for batch in found]
    for one, other in itertools.combinations(features[::3], 2):
        assert not np.array_equal(one, other)
    _assert_same(_epochs(build(None, teacher, data, views=4), 4), found)
    # A training that is continued reads what it would have read.
    _assert_same(_epochs(cache, 2, begin=2), found[6:])


def test_training_and_validation_fill_it_together(teacher, data, lazy, network):
    cache = lazy(teacher, logits=True)
    model = keras_ft.Distiller(
        teacher, network(channels=4), [keras_ft.transfers.SoftTargets(beta=1.0)]
    )
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(
        cache.train_from(0),
        steps_per_epoch=cache.steps_per_epoch,
        epochs=3,
        validation_data=cache.validation,
        verbose=0,
    )
    store = cache._batches.store
    assert all(store.is_complete(("train", view)) for view in range(3))
    assert store.is_complete(("validation", 0))
    FeatureCache.lazy(store.folder, teacher, data, logits=True, echo=None)


def test_an_interrupted_pass_continues(teacher, lazy, counting, blocks_of):
    whole = lazy(teacher)
    expected = _epochs(whole, 2)
    other = whole._batches.store.folder.parent / "other"
    counting.before[4 + 5] = _raise(MemoryError("as if"))
    cache = lazy(teacher, folder=other, forward=counting)
    with pytest.raises(tf.errors.OpError, match="as if"):
        _epochs(cache, 2)
    assert len(blocks_of(other)) == 4
    counting.calls = 0
    cache = lazy(teacher, folder=other, forward=counting)
    _assert_same(_epochs(cache, 2), expected)
    assert counting.calls >= 2
    before = blocks_of(cache._batches.store.folder)
    for name in list(before)[:4]:
        assert before[name] == blocks_of(whole._batches.store.folder)[name]


def _raise(error):
    def now():
        raise error

    return now


@pytest.mark.slow
def test_a_killed_training_continues(tmp_path, lazy):
    data = keras_ft.data.load("fashion_mini", train_examples=96, batch_size=32)
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, name="tap")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(10)(x))
    path, killed = tmp_path / "teacher.keras", tmp_path / "killed"
    teacher.save(path)
    done = subprocess.run(
        [sys.executable, SCRIPT, "lazy", path, killed, "5"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    # The fifth was in the making; one epoch is three.
    assert len(list(killed.glob("*.rows"))) == 4
    cache = lazy(teacher, data, folder=killed)
    whole = lazy(teacher, data, folder=tmp_path / "whole")
    _assert_same(_epochs(cache, 2), _epochs(whole, 2))
    assert not list(killed.glob(".unfinished-*"))


def test_complete_epochs_open_without_the_teacher(teacher, data, lazy):
    cache = lazy(teacher)
    folder, digest = cache._batches.store.folder, cache.teacher_digest
    with pytest.raises(InputError, match="FeatureCache.lazy again"):
        FeatureCache.open(folder, None, data, teacher_digest=digest)
    found = _epochs(cache, 2)
    validation = _read(cache.validation)
    with pytest.raises(InputError, match="FeatureCache.lazy again"):
        FeatureCache.open(folder, None, data, teacher_digest=digest)
    _read(cache.test)
    for path in folder.glob("train-view0002*"):
        path.unlink()  # read ahead
    lazy(teacher)
    some = FeatureCache.open(folder, None, data, teacher_digest=digest)
    assert some.views == 2
    _assert_same(_epochs(some, 4), found + found)
    _assert_same(_read(some.validation), validation)


def test_several_fill_one_folder(teacher, data, lazy):
    one, other = lazy(teacher), lazy(teacher)
    _epochs(one, 1)
    _epochs(other, 1, begin=1)
    _read(one.test)
    entries = set(lazy(teacher)._batches.store.blocks)
    for name in ("train-view0000", "train-view0001", "test"):
        assert any(entry.startswith(name) for entry in entries)


def test_keys_and_digests_are_checked(teacher, data, lazy, make_data, build):
    cache = lazy(teacher)
    _epochs(cache, 1)
    folder = cache._batches.store.folder
    with pytest.raises(InputError, match="Invalid `order or seed`"):
        lazy(teacher, make_data(seed=1))
    with pytest.raises(InputError, match="Invalid `dtype`"):
        lazy(teacher, dtype="int8")
    with pytest.raises(InputError, match="Invalid `views`"):
        build(folder, teacher, data)
    path = sorted(folder.glob("train-view0000*"))[1]
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(InputError, match=path.name):
        lazy(teacher)
    path.write_bytes(whole)
    shutil.copy(path, folder / "train-view0000-block000007.rows")
    with pytest.raises(InputError, match="block000007"):
        lazy(teacher)
    (folder / "train-view0000-block000007.rows").unlink()
    kernel = teacher.get_layer("conv").kernel
    kernel.assign(-np.array(kernel))
    with pytest.raises(InputError, match="Invalid `teacher weights`"):
        lazy(teacher)


def test_stored_batches_are_compared_with_the_teacher(
    teacher, lazy, monkeypatch
):
    from keras_ft.feature_cache import key as keys

    _epochs(lazy(teacher), 1)
    known = keys.of_teacher(teacher)
    kernel = teacher.get_layer("conv").kernel
    kernel.assign(-np.array(kernel))
    monkeypatch.setattr(keys, "of_teacher", lambda teacher: known)
    with pytest.raises(InputError, match="to the live teacher's"):
        lazy(teacher)


def test_a_wrong_faster_teacher_is_refused_in_the_step(
    teacher, lazy, network, paraphraser, counting
):
    cache = lazy(teacher, forward=lambda images: counting(images[::-1]))
    model = keras_ft.FactorTransfer(teacher, network(channels=4), paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    with pytest.raises(InputError, match="to the live teacher's") as refused:
        model.fit(cache.train_from(0), steps_per_epoch=1, verbose=0)
    assert str(cache._batches.store.folder) in str(refused.value)
    assert not list(cache._batches.store.folder.glob("*.rows"))


def test_it_says_what_an_epoch_costs(teacher, data, lazy, tmp_path):
    lines = []
    cache = lazy(teacher, echo=lines.append)
    _epochs(cache, 1)
    _read(cache.validation)
    _read(cache.test)
    first = [
        entry["bytes"]
        for name, entry in cache._batches.store.blocks.items()
        if not name.startswith(("train-view0001", "train-view0002"))
    ]
    assert f"{sum(first):,} bytes, about" in lines[0]
    assert "a view for every epoch" in lines[0]
    lazy(teacher, echo=lines.append)
    rows = sum(x["rows"] for x in cache._batches.store.blocks.values())
    assert lines[1:] == [f"feature cache: {rows:,} rows are there"]
    assert (
        FeatureCache.describe(teacher, data, views=None)[:60] == lines[0][:60]
    )


def test_a_full_disk_is_refused_in_the_step(teacher, lazy, monkeypatch):
    cache = lazy(teacher)

    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", full)
        with pytest.raises(tf.errors.OpError, match="No space left"):
            _epochs(cache, 1)
    _epochs(cache, 1)
    assert cache._batches.store.is_complete(("train", 0))


@pytest.mark.slow
@pytest.mark.parametrize(
    "how", ["lazy", pytest.param("plain", marks=pytest.mark.long)]
)
def test_a_script_that_ends_in_the_middle_of_an_epoch_ends(how, tmp_path):
    code = f"""
import keras
import keras_ft
from keras_ft.feature_cache import FeatureCache

data = keras_ft.data.load("fashion_mini", batch_size=16, train_examples=256)
teacher = keras_ft.zoo.resnet8(classes=10, input_shape=(28, 28, 1))
if {how!r} == "lazy":
    cache = FeatureCache.lazy({str(tmp_path)!r}, teacher, data)
else:
    cache = FeatureCache.build(None, teacher, data, views=1)
batches = iter(cache.train_from(0))
next(batches)
"""
    # Threads of the pipeline were waiting for Python, and Python for them.
    done = subprocess.run([sys.executable, "-c", code], timeout=120)
    assert done.returncode == 0
