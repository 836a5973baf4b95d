"""Tests that ask for no TensorFlow, run where there is none."""

import pytest
from what_works_where import add_cells

CONTRACT = "tests/contract"
WITHOUT = "tests/backends/without_tensorflow"
SHORT = "not slow and not long"
# The teacher and a weight of 0 change nothing, and a loss that is not finite
# stops: what of the contract `make test` asks of JAX.
PROMISES = tuple(
    f"{CONTRACT}/test_{part}.py" for part in ("beta_zero", "frozen", "finite")
)
PARTS = (
    "tests/test_optimizers.py",
    "tests/test_recipes.py",
    "tests/transfers",
    "tests/zoo/test_registry.py",
    "tests/zoo/test_torch_resnet.py",
)
# For bit-for-bit comparisons: what XLA fuses decides on the last bits where it
# may use AVX-512, and differs from program to program.
AS_USERS = "--xla_cpu_max_isa=AVX2"
# Nearly all of the time is LLVM's, which optimizes programs that run for
# milliseconds. Without that, products and sums become one rounded operation
# (FMA, which AVX lacks) in one program and not in another.
QUICK = "--xla_cpu_max_isa=AVX --xla_backend_optimization_level=0"
ON_TORCH = (
    f"-m={SHORT}",
    CONTRACT,
    # Keras itself refuses it there, in a clear sentence.
    "-k=not steps_per_execution",
    # torch.compile looks at it while it traces Keras.
    "-W=ignore:The .grad attribute of a Tensor:UserWarning",
)

pytestmark = pytest.mark.slow


def run_session(run, python, backend, tmp_path, config, flags, *words):
    cells = tmp_path / "cells.json"
    options = ["-q", "-p", "no:cacheprovider"]
    output = run(
        python,
        backend,
        *("-m", "pytest", *options, f"--cells={cells}", *words),
        PYTEST_ADDOPTS="",
        XLA_FLAGS=flags,
    )
    assert " passed" in output.splitlines()[-1]
    add_cells(config, cells)


@pytest.mark.parametrize(
    ("chosen", "files", "flags"),
    [
        pytest.param(SHORT, PROMISES, QUICK, id="promises"),
        pytest.param(
            f"cell and {SHORT}",
            (CONTRACT,),
            QUICK,
            id="table",
            marks=(pytest.mark.long, pytest.mark.column("JAX")),
        ),
        pytest.param(SHORT, (WITHOUT,), QUICK, id="refusals"),
        pytest.param(
            f"not cell and {SHORT} or long",
            (CONTRACT, WITHOUT),
            AS_USERS,
            id="rest of the contract",
            marks=pytest.mark.long,
        ),
        pytest.param(
            SHORT, PARTS, AS_USERS, id="parts", marks=pytest.mark.long
        ),
    ],
)
def test_on_jax_without_tensorflow(
    jax_python, run, tmp_path, pytestconfig, chosen, files, flags
):
    words = (flags, f"-m={chosen}", *files)
    run_session(run, jax_python, "jax", tmp_path, pytestconfig, *words)


def test_on_torch(torch_python, run, tmp_path, pytestconfig):
    words = ("", *ON_TORCH)
    run_session(run, torch_python, "torch", tmp_path, pytestconfig, *words)


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
