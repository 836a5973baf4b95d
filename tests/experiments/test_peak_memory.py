"""The peak of memory, against pages that are taken and given back."""

import mmap

import pytest

from keras_ft.experiments import peak_memory

MIB = 2**20


def test_the_peak_is_of_now_and_not_of_before():
    if not peak_memory.forget():
        pytest.skip("this system does not tell a peak anew")
    if peak_memory.measured()[1] != peak_memory.PROCESS:
        pytest.skip("here it is the GPU's")
    # Not an array: malloc may have 200 MiB that the process never gave back.
    with mmap.mmap(-1, 200 * MIB) as pages:
        for _ in range(200):
            pages.write(b"1" * MIB)
        with_pages, _ = peak_memory.measured()
    after, _ = peak_memory.measured()
    # Linux counts pages per processor, and sums up roughly.
    assert after == pytest.approx(with_pages, abs=MIB)
    assert peak_memory.forget()
    anew, _ = peak_memory.measured()
    assert with_pages - anew > 150 * MIB


def test_it_is_that_of_a_process_with_keras():
    peak, whose = peak_memory.measured()
    assert peak > 50e6
    assert whose in (peak_memory.PROCESS, peak_memory.GPU)


def test_a_system_without_proc_tells_that_since_the_start(
    monkeypatch, tmp_path
):
    before = peak_memory.measured()
    if before is None or before[1] != peak_memory.PROCESS:
        pytest.skip("here it is the GPU's")
    monkeypatch.setattr(peak_memory, "_STATUS", tmp_path / "status")
    monkeypatch.setattr(peak_memory, "_CLEAR", tmp_path / "no" / "clear_refs")
    assert not peak_memory.forget()
    since_the_start, whose = peak_memory.measured()
    assert since_the_start > 50e6
    assert whose == peak_memory.PROCESS
