"""Small models for the tests of what Keras promises, on any backend."""

import importlib

import keras
import numpy as np
import pytest

from keras_ft import FactorTransfer
from keras_ft import Paraphraser


@pytest.fixture
def build(network):
    """Makes the same FactorTransfer again and again: one seed, one model."""

    def make(
        student: keras.Model | None = None, seed: int = 5, **kwargs
    ) -> FactorTransfer:
        keras.utils.set_random_seed(seed)
        paraphraser = Paraphraser(0.5)
        paraphraser.trained = True
        # |d| has a jump in its gradient, where the last bits of a sum decide
        # on the sign; d^2 has none, so that bounds can be tight.
        arguments = {"beta": 20.0, "p": 2, **kwargs}
        teacher = network(8)
        return FactorTransfer(
            teacher, student or network(4), paraphraser, **arguments
        )

    return make


@pytest.fixture
def compiled():
    """Compiles a model with SGD and cross-entropy, unless told otherwise."""

    def compile_(model: keras.Model, **kwargs) -> keras.Model:
        arguments = {
            "optimizer": keras.optimizers.SGD(0.1, momentum=0.9),
            "loss": keras.losses.SparseCategoricalCrossentropy(
                from_logits=True
            ),
            **kwargs,
        }
        model.compile(**arguments)
        return model

    return compile_


@pytest.fixture
def values():
    """Copies of all numbers of a model, layer or optimizer."""

    def copy(owner) -> list[np.ndarray]:
        variables = owner.variables
        return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]

    return copy


@pytest.fixture
def same():
    """Asserts that two lists of arrays are equal bit for bit."""

    def compare(one, other) -> None:
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)

    return compare


@pytest.fixture
def close():
    """Asserts that two lists of arrays differ by no more than `atol`."""

    def compare(one, other, atol: float) -> None:
        for left, right in zip(one, other, strict=True):
            np.testing.assert_allclose(left, right, rtol=0, atol=atol)

    return compare


@pytest.fixture
def xla(monkeypatch):
    """Lets `jit_compile=True` compile on TensorFlow.

    Keras turns XLA off, with a warning, where operations are deterministic,
    which these tests ask TensorFlow to be and cannot take back.
    """
    if keras.backend.backend() == "tensorflow":
        config = importlib.import_module("tensorflow.python.framework.config")
        monkeypatch.setattr(config, "is_op_determinism_enabled", lambda: False)
