"""The optimizer against PyTorch's documented update, in float64."""

import gc
import weakref

import keras
import numpy as np
import pytest

from keras_ft import CoupledSGD
from keras_ft import InputError


def torch_sgd(weight, gradients, rates, momentum, decay, nesterov):
    """The update in torch.optim.SGD's documentation, dampening 0."""
    weight, buffer = weight.astype("float64"), None
    for gradient, rate in zip(gradients, rates, strict=True):
        step = gradient.astype("float64") + decay * weight
        if momentum:
            buffer = step if buffer is None else momentum * buffer + step
            step = step + momentum * buffer if nesterov else buffer
        weight = weight - rate * step
    return weight


@pytest.mark.parametrize(
    ("momentum", "decay", "nesterov"),
    [(0.0, 0.0, False), (0.0, 0.1, False), (0.9, 0.1, False), (0.9, 0.1, True)],
)
def test_equals_torch_also_across_a_learning_rate_drop(
    momentum, decay, nesterov
):
    rng = np.random.default_rng(0)
    start = rng.normal(size=(4, 3))
    gradients = rng.normal(size=(20, 4, 3))
    rates = [0.1] * 10 + [0.01] * 10
    schedule = keras.optimizers.schedules.PiecewiseConstantDecay(
        [9], [0.1, 0.01]
    )
    optimizer = CoupledSGD(schedule, momentum, nesterov, decay)
    weight = keras.Variable(start.astype("float32"))
    for gradient in gradients:
        optimizer.apply([gradient.astype("float32")], [weight])
    expected = torch_sgd(start, gradients, rates, momentum, decay, nesterov)
    np.testing.assert_allclose(weight, expected, atol=1e-5)


def test_a_thousand_steps_without_gradient_decay_as_torch_does():
    # Executed in torch 2.14.1 at lr 0.1, wd 5e-4, momentum 0.9: 0.60784.
    # Keras' own decoupled weight decay leaves 0.9512.
    optimizer = CoupledSGD(0.1, momentum=0.9, weight_decay=5e-4)
    weight = keras.Variable(np.ones((1,), "float32"))
    for _ in range(1000):
        optimizer.apply([np.zeros((1,), "float32")], [weight])
    assert float(weight[0]) == pytest.approx(0.60784, abs=2e-5)


def test_weights_can_be_excluded_from_the_decay():
    optimizer = CoupledSGD(0.1, weight_decay=0.5)
    weight = keras.Variable(np.ones((1,), "float32"), name="bias")
    optimizer.exclude_from_weight_decay(var_list=[weight])
    optimizer.apply([np.zeros((1,), "float32")], [weight])
    assert float(weight[0]) == 1.0


def test_configuration_round_trip():
    optimizer = CoupledSGD(0.1, 0.9, True, 5e-4)
    copy = CoupledSGD.from_config(optimizer.get_config())
    assert copy.get_config() == optimizer.get_config()
    assert copy.coupled_weight_decay == 5e-4 and copy.weight_decay is None


def test_negative_weight_decay_is_refused():
    with pytest.raises(InputError, match="weight_decay"):
        CoupledSGD(0.1, weight_decay=-1e-4)


@pytest.mark.long
@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="TensorFlow's own leak"
)
def test_a_training_step_is_not_kept_for_ever():
    import tensorflow as tf

    variable = keras.Variable(np.ones(3, "float32"))
    optimizer = CoupledSGD(0.1, momentum=0.9)
    optimizer.build([variable])
    graphs = []

    def train():
        @tf.function
        def step(gradient):
            graphs.append(weakref.ref(tf.compat.v1.get_default_graph()))
            optimizer.apply([gradient], [variable])

        step(tf.ones(3))

    train()
    gc.collect()
    assert graphs and all(graph() is None for graph in graphs)
