"""Other interpreters and backends than the session's own."""

import os
import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def jax_python(other_python) -> str:
    """The interpreter of an environment with JAX and without TensorFlow."""
    return other_python("jax", "JAX environment without TensorFlow")


@pytest.fixture(scope="session")
def torch_python() -> str:
    """The interpreter of an environment with PyTorch; none is built."""
    named = os.environ.get("KERAS_FT_TORCH_PYTHON")
    if named is None:
        pytest.skip("KERAS_FT_TORCH_PYTHON names no environment with PyTorch")
    return named


@pytest.fixture(scope="session")
def run(root: Path, tmp_path_factory: pytest.TempPathFactory):
    """Runs an interpreter in the repository and returns what it printed."""
    # Many programs are compiled again, within a process and by the next one.
    compiled = tmp_path_factory.mktemp("compiled")

    def start(python: str, backend: str, *words: object, **environment: str):
        return subprocess.Popen(
            [python, *map(str, words)],
            cwd=root,
            env={
                **os.environ,
                "KERAS_BACKEND": backend,
                "JAX_PLATFORMS": "cpu",
                "JAX_COMPILATION_CACHE_DIR": str(compiled),
                "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def run(python: str, backend: str, *words: object, **environment: str):
        return finish(start(python, backend, *words, **environment))

    def finish(process: subprocess.Popen[str]) -> str:
        output, errors = process.communicate()
        assert process.returncode == 0, (output + errors)[-4000:]
        return output

    run.start, run.finish = start, finish
    return run
