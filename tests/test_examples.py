"""The examples run as a user runs them, with less data."""

import subprocess
import sys

import pytest

SMALL = ["--epochs=1", "--train_examples=128"]


@pytest.mark.slow
def test_quickstart(root, tmp_path):
    file = tmp_path / "student.tflite"
    more = ["--paraphrase_epochs=1", f"--out={file}"]
    output = _run(root / "examples" / "quickstart.py", *SMALL, *more)
    assert "student distilled:" in output and "student alone:" in output
    assert file.read_bytes()[4:8] == b"TFL3"


@pytest.mark.slow
def test_own_transfer(root):
    output = _run(root / "examples" / "own_transfer.py", *SMALL)
    assert "similarity_loss" in output and "<- default" in output


@pytest.mark.slow
def test_cached_training(root, tmp_path):
    script = root / "examples" / "cached_training.py"
    more = [f"--cache={tmp_path / 'cache'}", "--paraphrase_epochs=1"]
    more += ["--views=2"]
    output = _run(script, *SMALL, *more, "--rate=0.5")
    assert "rate 0.5: " in output
    assert "feature cache: batch 22/22" in output
    # The second one finds all that was computed.
    output = _run(script, *SMALL, *more, "--rate=1")
    assert "rate 1: " in output
    assert "feature cache: batch" not in output


def _run(*arguments):
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
