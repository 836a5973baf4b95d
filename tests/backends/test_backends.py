"""JAX without TensorFlow gives TensorFlow's numbers and reads its files.

So does PyTorch, where KERAS_FT_TORCH_PYTHON names an environment with it.
"""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("train_small.py")
COLUMNS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
OTHERS = ("jax", "torch")

pytestmark = pytest.mark.slow


def proves(row, says, *values, where):
    mark = pytest.mark.cell(row, says, where=COLUMNS[where])
    return pytest.param(*values, marks=mark)


numbers_of_others = pytest.mark.parametrize(
    "other",
    [proves("TensorFlow's numbers", "5 digits", o, where=o) for o in OTHERS],
)


@pytest.fixture(scope="module")
def on(request, run):
    """Runs the script on a backend; on JAX where there is no TensorFlow."""

    def run_script(backend, *words):
        python = sys.executable
        if backend in OTHERS:
            python = request.getfixturevalue(f"{backend}_python")
        output = run(python, backend, SCRIPT, *words)
        loaded = backend == "tensorflow"
        assert output.splitlines()[-1] == f"{backend} {loaded}"

    return run_script


@pytest.fixture(scope="module")
def trained(on, tmp_path_factory):
    """What the same training left on a backend; run when first asked for."""
    folders = {}

    def folder(backend):
        if backend not in folders:
            made = tmp_path_factory.mktemp(backend)
            on(backend, "train", made)
            folders[backend] = made
        return folders[backend]

    return folder


@numbers_of_others
def test_logs_are_tensorflows(other, trained):
    expected, found = (
        json.loads((trained(backend) / "logs.json").read_text())
        for backend in ("tensorflow", other)
    )
    assert expected.keys() == found.keys()
    for name, values in expected.items():
        # The soft-target loss of 0.003 is a difference of larger numbers.
        assert found[name] == pytest.approx(values, rel=1e-5, abs=1e-6), name


@numbers_of_others
def test_weights_are_tensorflows(other, trained):
    expected, found = (
        np.load(trained(backend) / "weights.npz")
        for backend in ("tensorflow", other)
    )
    assert expected.files == found.files
    for name in expected.files:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=1e-5, atol=1e-6
        )


@pytest.mark.parametrize(
    ("writer", "reader"),
    [
        proves("the other backend's files", "yes", *pair, where=pair[1])
        for other in OTHERS
        for pair in (("tensorflow", other), (other, "tensorflow"))
    ],
)
def test_a_file_of_the_other_backend_predicts_the_same(
    writer, reader, trained, on, tmp_path
):
    folder, found = trained(writer), tmp_path / "predictions.npy"
    on(reader, "predict", folder / "model.keras", found)
    np.testing.assert_allclose(
        np.load(found),
        np.load(folder / "predictions.npy"),
        rtol=1e-5,
        atol=1e-6,
    )
