"""keras.distribution on JAX: two devices, and two processes, equal one."""

import socket
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("train_parallel.py")
TWO_DEVICES = "--xla_force_host_platform_device_count=2"
WHERE = "JAX DataParallel"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def one_device(jax_python, run, tmp_path_factory):
    """Weights and logs of the same training on one device."""
    result = tmp_path_factory.mktemp("one") / "result.npz"
    output = run(jax_python, "jax", SCRIPT, result, XLA_FLAGS="")
    assert "devices: 1" in output
    return np.load(result)


def assert_equal(found, expected):
    assert found.files == expected.files
    for name in expected.files:
        np.testing.assert_allclose(
            found[name], expected[name], rtol=0, atol=1e-6, err_msg=name
        )


@pytest.mark.cell("phase 1", where=WHERE)
@pytest.mark.cell("phase 2", where=WHERE)
@pytest.mark.cell("NumPy arrays", where=WHERE)
@pytest.mark.cell("SGD and CoupledSGD", where=WHERE)
# The statistics are those of the whole batch, not of each device's share.
@pytest.mark.long
@pytest.mark.cell("batch normalization", where=WHERE)
@pytest.mark.cell("teacher and paraphraser unchanged", where=WHERE)
def test_two_devices_train_like_one(jax_python, run, one_device, tmp_path):
    result = tmp_path / "result.npz"
    output = run(jax_python, "jax", SCRIPT, result, XLA_FLAGS=TWO_DEVICES)
    assert "devices: 2" in output
    assert_equal(np.load(result), one_device)


@pytest.mark.long
@pytest.mark.cell("several processes", where=WHERE)
def test_two_processes_train_like_one(jax_python, run, one_device, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    results = [tmp_path / f"{process}.npz" for process in (0, 1)]
    processes = [
        run.start(
            jax_python, "jax", SCRIPT, result, process, address, XLA_FLAGS=""
        )
        for process, result in enumerate(results)
    ]
    for output in map(run.finish, processes):
        assert "devices: 2" in output
    for result in results:
        assert_equal(np.load(result), one_device)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
