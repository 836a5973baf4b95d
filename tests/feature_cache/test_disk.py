"""Too little room, and files that cannot be written."""

import errno
import os
import resource
import shutil

import pytest

from keras_ft.errors import InputError


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
        with pytest.raises(InputError, match="with 16,640 bytes free"):
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
        ("replace", 1),
        ("replace", 2),
        ("replace", 3),
        ("fsync", 1),
        ("fsync", 7),
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
    with pytest.raises(InputError, match="at most the 100 bytes of memory"):
        build(None, teacher, data, forward=counting)
    assert counting.calls == 0


def test_two_builders_do_not_meet(tmp_path, teacher, data, build, counting):
    refused = []

    def second():
        with pytest.raises(InputError, match="no other process builds") as it:
            build(tmp_path, teacher, data)
        refused.append(it)

    counting.before[6] = second
    build(tmp_path, teacher, data, forward=counting)
    assert refused


def test_a_folder_that_cannot_be_written_is_refused(
    tmp_path, teacher, data, build
):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(InputError, match="Invalid `folder`"):
        build(tmp_path / "file" / "cache", teacher, data)
