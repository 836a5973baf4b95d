"""Interruptions are continued; damage is refused, with the file's name."""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache.shard_folder import ShardFolder

SCRIPT = Path(__file__).parent / "compute_and_die.py"


def _raise(error):
    def now():
        raise error

    return now


def test_an_interrupted_build_continues(
    folder, tmp_path, teacher, data, build, counting, shards_of, small_shards
):
    other = tmp_path / "other"
    counting.before[4 + 6] = _raise(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build(other, teacher, data, forward=counting)
    assert len(shards_of(other)) == 5
    with pytest.raises(InputError, match="with 5 of 9 shards"):
        FeatureCache.open(other, teacher, data)
    counting.calls = 0
    lines = []
    build(other, teacher, data, forward=counting, echo=lines.append)
    assert counting.calls == 4 + 4
    assert "feature cache: 5 of 9 shards were done before" in lines
    assert shards_of(other) == shards_of(folder)


@pytest.mark.slow
def test_a_killed_build_continues(tmp_path, build, shards_of, small_shards):
    data = keras_ft.data.load("fashion_mini", train_examples=96, batch_size=32)
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, name="tap")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(10)(x))
    path = tmp_path / "teacher.keras"
    teacher.save(path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    build(whole, teacher, data)
    for batches in (1, 8):
        done = subprocess.run(
            [sys.executable, SCRIPT, "build", path, killed, str(batches)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    # Nothing of the first, seven of the second; the eighth was in the making.
    assert len(shards_of(killed)) == 7
    build(killed, teacher, data)
    assert shards_of(killed) == shards_of(whole)
    assert not list(killed.glob(".unfinished-*"))


def test_a_deleted_shard_is_computed_again(
    folder, teacher, data, build, counting, shards_of
):
    before = shards_of(folder)
    names = ("train-view0001-batch000001", "validation-batch000000")
    for name in names:
        path = folder / f"{name}.tfrecord"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=name):
            FeatureCache.open(folder, teacher, data)
        path.write_bytes(content)
    for name in names:
        (folder / f"{name}.tfrecord").unlink()
    build(folder, teacher, data, forward=counting)
    assert counting.calls == 4 + 2
    assert shards_of(folder) == before


def test_a_damaged_file_is_refused_by_name(folder, teacher, data, build):
    for name in ("manifest.json", "train-view0001-batch000000.tfrecord"):
        path = folder / name
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        path.write_bytes(damaged)
        for call in (FeatureCache.open, build):
            with pytest.raises(InputError) as refused:
                call(folder, teacher, data)
            assert refused.value.argument == str(path)
        path.write_bytes(whole)
    FeatureCache.open(folder, teacher, data)


def _verify(folder):
    """What opening does with the files."""
    store = ShardFolder(folder)
    store.read()
    store.verify()


def test_every_flipped_bit_is_found(folder):
    rng = np.random.default_rng(0)
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for place in rng.integers(0, 8 * len(whole), 30):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            with pytest.raises(InputError) as refused:
                _verify(folder)
            assert path.name in refused.value.argument
        path.write_bytes(whole)
    _verify(folder)


def test_every_truncation_is_found(tmp_path, teacher, data, build):
    # All batches of a view in one shard, so that records have boundaries.
    build(tmp_path, teacher, data)
    assert len(list(tmp_path.iterdir())) == 2 + 2 + 1
    for path in sorted(tmp_path.iterdir()):
        whole = path.read_bytes()
        lengths = {0, 1, len(whole) // 2, len(whole) - 2}
        if path.suffix == ".tfrecord":
            # The length of TFRecord's first record, with its 16 bytes.
            boundary = int.from_bytes(whole[:8], "little") + 16
            lengths |= {boundary} - {len(whole)}
        for length in lengths:
            path.write_bytes(whole[:length])
            with pytest.raises(InputError) as refused:
                _verify(tmp_path)
            assert path.name in refused.value.argument
        path.write_bytes(whole)
    FeatureCache.open(tmp_path, teacher, data)


def test_swapped_and_doubled_shards_are_refused(folder, teacher, data):
    one, other = sorted(folder.glob("train-*"))[:2]
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    one.write_bytes(second)
    with pytest.raises(InputError, match=one.name):
        FeatureCache.open(folder, teacher, data)
    other.write_bytes(first)
    with pytest.raises(InputError, match=f"{one.name}|{other.name}"):
        FeatureCache.open(folder, teacher, data)


def test_foreign_shards_are_refused(folder, teacher, data, network, build):
    path = sorted(folder.glob("train-*"))[0]
    copy = folder / "train-view0007-batch000000.tfrecord"
    shutil.copy(path, copy)
    for call in (FeatureCache.open, build):
        with pytest.raises(InputError, match=copy.name):
            call(folder, teacher, data)
    copy.unlink()
    keras.utils.set_random_seed(7)
    build(folder.parent / "other", network(), data)
    shutil.copy(folder.parent / "other" / path.name, path)
    for call in (FeatureCache.open, build):
        with pytest.raises(InputError, match=path.name):
            call(folder, teacher, data)


def test_what_a_killed_build_left_is_no_shard(folder, teacher, data, build):
    left = folder / ".unfinished-0a1b2c3d-train-view0000-batch000000.tfrecord"
    left.write_bytes(b"half a record")
    FeatureCache.open(folder, teacher, data)
    build(folder, teacher, data)
    assert not left.exists()


def test_a_manifest_of_another_cache_is_refused(
    folder, teacher, data, network, build
):
    keras.utils.set_random_seed(7)
    build(folder.parent / "other", network(), data)
    shutil.copy(folder.parent / "other" / "manifest.json", folder)
    with pytest.raises(InputError, match="Invalid `teacher weights`"):
        FeatureCache.open(folder, teacher, data)


def test_a_missing_manifest_is_refused(folder, teacher, data, build):
    (folder / "manifest.json").unlink()
    with pytest.raises(InputError, match="manifest.json"):
        FeatureCache.open(folder, teacher, data)
    with pytest.raises(InputError, match="the manifest does not know"):
        build(folder, teacher, data)


def test_a_shard_damaged_while_training_is_an_error(folder, teacher, data):
    import tensorflow as tf

    cache = FeatureCache.open(folder, teacher, data)
    path = sorted(folder.glob("test-*"))[0]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(tf.errors.DataLossError):
        list(cache.test)
    # A whole record less is no damage to TFRecord itself.
    path.write_bytes(b"")
    with pytest.raises(tf.errors.OpError, match="expected to contain 1"):
        list(cache.test)
