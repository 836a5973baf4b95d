"""One strategy with two replicas, and the same training on it and without."""

import contextlib
from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft import FactorTransfer
from keras_ft import Paraphraser


class Trained(NamedTuple):
    """What a training left behind."""

    model: FactorTransfer
    logs: dict[str, list[float]]
    weights: list[np.ndarray]
    frozen_before: list[np.ndarray]


@pytest.fixture(scope="session")
def strategy(two_devices):
    """Two replicas. One object per process: the collectives of two clash."""
    return tf.distribute.MirroredStrategy(two_devices)


@pytest.fixture(scope="session")
def images():
    """17 batches of 8 random images, labels of four classes, weights."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(136, 8, 8, 3)).astype("float32")
    y = rng.integers(0, 4, size=136).astype("int32")
    return x, y, np.linspace(0.0, 2.0, 136).astype("float32")


@pytest.fixture(scope="session")
def build(network):
    """Makes the same compiled FactorTransfer in any scope."""

    def make(
        scope: Any = contextlib.nullcontext,
        optimizer: Any = None,
        student: dict[str, Any] | None = None,
        compiled: dict[str, Any] | None = None,
        also: Any = list,
        ignore_class: int | None = None,
        **kwargs: Any,
    ) -> FactorTransfer:
        keras.utils.set_random_seed(0)
        with scope():
            paraphraser = Paraphraser(0.5)
            paraphraser.trained = True
            arguments = {"normalize": False, "l2": 1e-3, **(student or {})}
            model = FactorTransfer(
                # With batch normalization, which would show in its statistics
                # if it ran in training mode.
                network(8),
                network(4, **arguments),
                paraphraser,
                also=also(),
                **{
                    "beta": 20.0,
                    # |d| has a jump in its gradient, where the last bits of
                    # a sum decide on the sign; d^2 has none.
                    "p": 2,
                    **kwargs,
                },
            )
            model.compile(
                optimizer() if optimizer else sgd(),
                keras.losses.SparseCategoricalCrossentropy(
                    from_logits=True, ignore_class=ignore_class
                ),
                **(compiled or {}),
            )
        return model

    return make


def sgd() -> keras.optimizers.Optimizer:
    return keras.optimizers.SGD(0.05, momentum=0.9)


@pytest.fixture(scope="session")
def train(build, images):
    """Builds and trains, 51 steps unless told otherwise."""

    def run(
        scope: Any = contextlib.nullcontext,
        fit: dict[str, Any] | None = None,
        data: Any = None,
        labels: Any = None,
        **kwargs: Any,
    ) -> Trained:
        model = build(scope, **kwargs)
        before = numbers(model.frozen_variables)
        x, y = (data, None) if data is not None else images[:2]
        if labels is not None:
            y = labels
        batches = {} if data is not None else {"batch_size": 8}
        # Few epochs: under a strategy each begins with a quarter of a second.
        arguments = {"epochs": 3, "shuffle": False, **batches, **(fit or {})}
        history = model.fit(x, y, verbose=0, **arguments).history
        weights = numbers(model.trainable_variables)
        return Trained(model, history, weights, before)

    return run


@pytest.fixture(scope="session")
def on_both(strategy, train):
    """The same training on one device and on two replicas."""

    def run(**kwargs: Any) -> tuple[Trained, Trained]:
        return train(**kwargs), train(strategy.scope, **kwargs)

    return run


@pytest.fixture(scope="session")
def values():
    """Copies of the numbers in variables."""
    return numbers


def numbers(variables: list[Any]) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(v)) for v in variables]


@pytest.fixture(scope="session")
def gap():
    """The largest difference between two lists of arrays."""

    def largest(one: Any, other: Any) -> float:
        pairs = zip(one, other, strict=True)
        return max(float(np.abs(a - b).max()) for a, b in pairs)

    return largest
