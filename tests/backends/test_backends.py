"""The same classes on JAX give TensorFlow's numbers."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("train_small.py")


def logs_on(backend, folder):
    done = subprocess.run(
        [sys.executable, str(SCRIPT), str(folder / f"{backend}.keras")],
        env={**os.environ, "KERAS_BACKEND": backend},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["backend"] == backend
    return result["logs"]


@pytest.mark.slow
def test_jax_trains_as_tensorflow_does(tmp_path):
    pytest.importorskip("jax")
    tensorflow, jax = (
        logs_on(backend, tmp_path) for backend in ("tensorflow", "jax")
    )
    assert tensorflow.keys() == jax.keys()
    for name, values in tensorflow.items():
        assert jax[name] == pytest.approx(values, rel=1e-4, abs=1e-6), name
