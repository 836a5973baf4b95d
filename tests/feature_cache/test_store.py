"""Interruptions are continued; damage and full disks are refused by name."""

import errno
import os
import resource
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache.store import FolderStore

SCRIPT = Path(__file__).parent / "compute_and_die.py"


def _raise(error):
    def now():
        raise error

    return now


def test_an_interrupted_build_continues(
    folder, tmp_path, teacher, data, build, counting, blocks_of, small_blocks
):
    other = tmp_path / "other"
    counting.before[4 + 6] = _raise(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        build(other, teacher, data, forward=counting)
    assert len(blocks_of(other)) == 5
    with pytest.raises(InputError, match="with 72 of 112 rows"):
        FeatureCache.open(other, teacher, data)
    counting.calls = 0
    lines = []
    build(other, teacher, data, forward=counting, echo=lines.append)
    assert counting.calls == 4 + 4
    assert "feature cache: 72 of 112 rows were computed before" in lines
    assert blocks_of(other) == blocks_of(folder)


@pytest.mark.slow
@pytest.mark.parametrize(
    "kills",
    # In the first batch nothing is kept; in the eighth, seven are.
    [(8,), pytest.param((1, 8), marks=pytest.mark.long)],
)
def test_a_killed_build_continues(
    tmp_path, build, blocks_of, small_blocks, kills
):
    data = keras_ft.data.load("fashion_mini", train_examples=96, batch_size=32)
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(4, 5, strides=4, name="tap")(image)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(10)(x))
    path = tmp_path / "teacher.keras"
    teacher.save(path)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    build(whole, teacher, data)
    for batches in kills:
        done = subprocess.run(
            [sys.executable, SCRIPT, "build", path, killed, str(batches)],
            capture_output=True,
            text=True,
        )
        assert done.returncode == -signal.SIGKILL, done.stderr
    # The eighth was in the making.
    assert len(blocks_of(killed)) == 7
    build(killed, teacher, data)
    assert blocks_of(killed) == blocks_of(whole)
    assert not list(killed.glob(".unfinished-*"))


def test_a_deleted_block_is_computed_again(
    folder, teacher, data, build, counting, blocks_of
):
    before = blocks_of(folder)
    names = ("train-view0001-block000001", "validation-view0000-block000000")
    for name in names:
        path = folder / f"{name}.rows"
        content = path.read_bytes()
        path.unlink()
        with pytest.raises(InputError, match=name):
            FeatureCache.open(folder, teacher, data)
        path.write_bytes(content)
    for name in names:
        (folder / f"{name}.rows").unlink()
    build(folder, teacher, data, forward=counting)
    assert counting.calls == 4 + 2
    assert blocks_of(folder) == before


def test_a_damaged_file_is_refused_by_name(folder, teacher, data, build):
    for name in ("manifest.json", "train-view0001-block000000.rows"):
        path = folder / name
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[len(whole) // 2] ^= 1
        path.write_bytes(damaged)
        for call in (FeatureCache.open, build):
            with pytest.raises(InputError) as refused:
                call(folder, teacher, data)
            assert str(path) in str(refused.value)
        path.write_bytes(whole)
    FeatureCache.open(folder, teacher, data)


def _verify(folder):
    """What opening does with the files."""
    store = FolderStore(folder)
    store.load()
    store.verify()


def test_every_flipped_bit_is_found(folder):
    rng = np.random.default_rng(0)
    for path in sorted([*folder.glob("*.rows"), folder / "manifest.json"]):
        whole = path.read_bytes()
        for place in rng.integers(0, 8 * len(whole), 30):
            damaged = bytearray(whole)
            damaged[place // 8] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            with pytest.raises(InputError) as refused:
                _verify(folder)
            assert path.name in str(refused.value)
        path.write_bytes(whole)
    _verify(folder)


def test_every_truncation_is_found(tmp_path, teacher, data, build):
    # All batches of a view in one block.
    build(tmp_path, teacher, data)
    files = sorted([*tmp_path.glob("*.rows"), tmp_path / "manifest.json"])
    assert len(files) == 2 + 2 + 1
    for path in files:
        whole = path.read_bytes()
        # Among them the end of a row.
        row = len(whole) // 12 if path.name.startswith("test") else 2
        lengths = {0, 1, row, len(whole) // 2, len(whole) - 2}
        for length in lengths:
            path.write_bytes(whole[:length])
            with pytest.raises(InputError) as refused:
                _verify(tmp_path)
            assert path.name in str(refused.value)
        path.write_bytes(whole)
    FeatureCache.open(tmp_path, teacher, data)


def test_swapped_and_doubled_blocks_are_refused(folder, teacher, data):
    one, other = sorted(folder.glob("train-*"))[:2]
    first, second = one.read_bytes(), other.read_bytes()
    assert len(first) == len(second)
    one.write_bytes(second)
    with pytest.raises(InputError, match=one.name):
        FeatureCache.open(folder, teacher, data)
    other.write_bytes(first)
    with pytest.raises(InputError, match=f"{one.name}|{other.name}"):
        FeatureCache.open(folder, teacher, data)


def test_foreign_blocks_are_refused(folder, teacher, data, network, build):
    path = sorted(folder.glob("train-*"))[0]
    copy = folder / "train-view0007-block000000.rows"
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


def test_what_a_killed_build_left_is_no_block(folder, teacher, data, build):
    left = folder / ".unfinished-0a1b2c3d-train-view0000-block000000.rows"
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


def test_a_block_damaged_while_training_is_an_error(folder, teacher, data):
    import tensorflow as tf

    cache = FeatureCache.open(folder, teacher, data)
    path = sorted(folder.glob("test-*"))[0]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(tf.errors.OpError, match=f"{path.name}.*check sums"):
        list(cache.test)
    whole = bytes(damaged)
    for content in (b"", whole[: len(whole) // 12], b"\0" * len(whole)):
        path.write_bytes(content)
        with pytest.raises(tf.errors.OpError, match=f"{path.name}.*check"):
            list(cache.test)


def test_a_full_disk_leaves_the_folder_usable(
    folder, tmp_path, teacher, data, build, counting, blocks_of, small_blocks
):
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # More than the manifest takes, less than a block.
    counting.before[4 + 4] = lambda: resource.setrlimit(
        resource.RLIMIT_FSIZE, (12_000, limits[1])
    )
    other = tmp_path / "other"
    try:
        with pytest.raises(InputError, match="16,640 bytes are needed"):
            build(other, teacher, data, forward=counting)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert len(blocks_of(other)) == 3
    assert not list(other.glob(".unfinished-*"))
    build(other, teacher, data, forward=counting)
    assert blocks_of(other) == blocks_of(folder)


@pytest.mark.parametrize(
    ("call", "when"),
    # The manifest, a block, the manifest with it, and a later block; each
    # flushes its file, then the folder.
    [
        pytest.param("replace", 1, marks=pytest.mark.long),
        ("replace", 2),
        pytest.param("replace", 3, marks=pytest.mark.long),
        ("fsync", 1),
        pytest.param("fsync", 7, marks=pytest.mark.long),
    ],
)
def test_a_failing_write_leaves_the_folder_usable(
    call,
    when,
    folder,
    tmp_path,
    teacher,
    data,
    build,
    blocks_of,
    monkeypatch,
    small_blocks,
):
    real, calls = getattr(os, call), []

    def failing(*args):
        calls.append(args)
        if len(calls) == when:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args)

    other = tmp_path / "other"
    with monkeypatch.context() as patch:
        patch.setattr(os, call, failing)
        with pytest.raises(InputError, match="No space left on device"):
            build(other, teacher, data)
    assert not list(other.glob(".unfinished-*"))
    build(other, teacher, data)
    assert blocks_of(other) == blocks_of(folder)


def test_a_disk_that_is_too_small_is_refused_before(
    tmp_path, teacher, data, build, counting, monkeypatch
):
    usage = shutil._ntuple_diskusage(100, 90, 10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(InputError, match="10 bytes free"):
        build(tmp_path, teacher, data, forward=counting)
    assert counting.calls <= 4


def test_more_than_the_memory_is_refused_before(
    teacher, data, build, counting, monkeypatch
):
    monkeypatch.setattr(os, "sysconf", lambda name: 10)
    with pytest.raises(InputError, match="in the 100 bytes of memory"):
        build(None, teacher, data, forward=counting)
    assert counting.calls == 0


def test_two_builders_do_not_meet(tmp_path, teacher, data, build, counting):
    refused = []

    def second():
        with pytest.raises(InputError, match="Another process builds") as it:
            build(tmp_path, teacher, data)
        refused.append(it)

    counting.before[6] = second
    build(tmp_path, teacher, data, forward=counting)
    assert refused


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path, teacher, data, build
):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="The folder .* cannot be written"):
        build(tmp_path / "file" / "cache", teacher, data)


def _resealed(folder, change):
    """Change the manifest as somebody would who knows how it is sealed."""
    path = folder / "manifest.json"
    content = artifacts.read_json(path, sealed=True)
    change(content)
    artifacts.write_json(path, content, sealed=True)


BLOCK = "train-view0000-block000000.rows"
CHANGES = {
    "images": lambda c: c["images"].update(train=10**11),
    "rows": lambda c: c["rows"].update(test=13),
    "format": lambda c: c["format"].update(shapes=[[10**6, 10**6]]),
    "format.dtype": lambda c: c["format"].update(dtype="O"),
    "key.views": lambda c: c["key"].pop("views"),
    "teacher.name": lambda c: c["teacher"].update(name=7),
    f"blocks.{BLOCK}.bytes": lambda c: c["blocks"][BLOCK].update(bytes=2**40),
    "blocks": lambda c: c["blocks"].update({"../x.rows": c["blocks"][BLOCK]}),
}


@pytest.mark.parametrize("key", CHANGES)
def test_a_wrong_key_of_a_manifest_is_named(key, folder, teacher, data):
    _resealed(folder, CHANGES[key])
    with pytest.raises(InputError, match="manifest.json") as caught:
        FeatureCache.open(folder, teacher, data)
    assert caught.value.argument.startswith(key)


def test_rows_of_images_that_are_not_there_are_refused(
    folder, teacher, data, blocks_of
):
    rows = np.frombuffer(blocks_of(folder)[BLOCK], np.uint8).copy()
    rows[:8] = np.frombuffer(np.int64(10**9).tobytes(), np.uint8)
    (folder / BLOCK).write_bytes(rows.tobytes())
    digest = artifacts.sha256(folder / BLOCK)
    _resealed(folder, lambda c: c["blocks"][BLOCK].update(sha256=digest))
    with pytest.raises(InputError, match="rows beyond 40 images"):
        FeatureCache.open(folder, teacher, data)


def test_a_paraphraser_of_a_cache_belongs_to_its_teacher(
    folder, teacher, network, data
):
    cache = FeatureCache.open(folder, teacher, data)
    layer = keras_ft.Paraphraser()
    phase1 = keras_ft.ParaphraserTrainer(cache.teacher, layer)
    phase1.compile("sgd")
    phase1.fit(cache.train_from(0), steps_per_epoch=1, verbose=0)
    x, y = next(iter(data.validation))

    def train(teacher):
        model = keras_ft.FactorTransfer(teacher, network(4), layer)
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("sgd", loss)
        model.fit(x, y, verbose=0)

    # The teacher itself, and not what is in its place, may go on with it.
    train(teacher)
    with pytest.raises(InputError, match="another teacher or tap"):
        train(network())
