import keras
import numpy as np
import pytest


def test_there_are_two_logical_cpus(two_devices):
    tf = pytest.importorskip("tensorflow")
    found = [device.name for device in tf.config.list_logical_devices("CPU")]
    assert found == [f"/device:{name}" for name in two_devices]


@pytest.mark.parametrize("_", range(2))
def test_every_test_draws_the_same_numbers(_):
    # The second run would draw on from the first without the fixture.
    drawn = np.concatenate(
        [np.random.rand(1), np.asarray(keras.random.uniform((1,)))]
    )
    keras.utils.set_random_seed(0)
    again = np.concatenate(
        [np.random.rand(1), np.asarray(keras.random.uniform((1,)))]
    )
    np.testing.assert_array_equal(drawn, again)


@pytest.mark.parametrize("_", range(2))
def test_every_test_starts_in_float32_with_fresh_names(_):
    assert keras.config.dtype_policy().name == "float32"
    assert keras.layers.Dense(1).name == "dense"
    keras.config.set_dtype_policy("mixed_bfloat16")


def test_another_python_is_where_its_variable_says(other_python, monkeypatch):
    monkeypatch.setenv("KERAS_FT_PARROT_PYTHON", "/no/such/python")
    # Whether it is there or not: a wrong variable must not skip tests.
    assert other_python("parrot", "parrot") == "/no/such/python"


def test_another_python_may_be_missing(other_python, monkeypatch):
    monkeypatch.delenv("KERAS_FT_PARROT_PYTHON", raising=False)
    with pytest.raises(pytest.skip.Exception, match="make install-parrot"):
        other_python("parrot", "parrot")
