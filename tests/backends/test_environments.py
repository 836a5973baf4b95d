"""Tests that ask for no TensorFlow, run where there is none."""

import pytest
from what_works_where import add_cells

CONTRACT = "tests/contract"
PROMISED = (CONTRACT, "tests/backends/without_tensorflow")
# These prove no cell of the table.
PARTS = (
    "tests/test_optimizers.py",
    "tests/test_recipes.py",
    "tests/transfers",
    "tests/zoo/test_registry.py",
    "tests/zoo/test_torch_resnet.py",
)
ON_TORCH = (
    CONTRACT,
    # Keras itself refuses it there, in a clear sentence.
    "-k=not steps_per_execution",
    # torch.compile looks at it while it traces Keras.
    "-W=ignore:The .grad attribute of a Tensor:UserWarning",
)

pytestmark = pytest.mark.slow


def run_session(run, python, backend, tmp_path, config, *words):
    cells = tmp_path / "cells.json"
    options = ["-q", "-m", "not slow and not long", "-p", "no:cacheprovider"]
    output = run(
        python,
        backend,
        *("-m", "pytest", *options, f"--cells={cells}", *words),
        PYTEST_ADDOPTS="",
        # For bit-for-bit comparisons: what XLA fuses decides on the last bits
        # where it may use AVX-512, and differs from program to program.
        XLA_FLAGS="--xla_cpu_max_isa=AVX2",
        # Many tests compile the same step: this halves the time on JAX.
        JAX_COMPILATION_CACHE_DIR=str(tmp_path / "compiled"),
        JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS="0",
    )
    assert " passed" in output.splitlines()[-1]
    add_cells(config, cells)


@pytest.mark.parametrize(
    "files",
    [
        pytest.param(PROMISED, id="contract"),
        pytest.param(PARTS, id="parts", marks=pytest.mark.long),
    ],
)
def test_on_jax_without_tensorflow(
    jax_python, run, tmp_path, pytestconfig, files
):
    run_session(run, jax_python, "jax", tmp_path, pytestconfig, *files)


def test_on_torch(torch_python, run, tmp_path, pytestconfig):
    run_session(run, torch_python, "torch", tmp_path, pytestconfig, *ON_TORCH)


@pytest.mark.long
def test_the_quickstart_on_jax(jax_python, run, root, tmp_path):
    file = tmp_path / "student.keras"
    script = root / "examples" / "jax_quickstart.py"
    words = ["--epochs=1", "--train_examples=128", f"--out={file}"]
    output = run(jax_python, "jax", script, *words)
    assert "of the test images" in output
    assert file.read_bytes()[:2] == b"PK"


@pytest.mark.long
def test_the_gpu_benchmark_at_toy_size(jax_python, run, root, tmp_path):
    script = root / "benchmarks" / "gpu" / "step_time.py"
    words = ["--toy", "--batches=2", "--precisions=mixed_bfloat16"]
    words.append(f"--out={tmp_path / 'times'}")
    output = run(jax_python, "jax", script, *words, PYTHONPATH=str(root))
    assert "A toy run" in output
    rows = (tmp_path / "times.md").read_text().splitlines()[-3:]
    assert [row.split(" | ")[2] for row in rows] == [
        "plain",
        "FT online",
        "FT, features given",
    ]
