import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.export import BridgeError
from keras_ft.export import to_tf_keras
from keras_ft.export.tf_keras_parity import check_same_outputs

tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")


@pytest.fixture
def both(student):
    return student, to_tf_keras(student)


def test_a_faithful_copy_differs_by_rounding_only(both):
    assert check_same_outputs(*both) < 1e-5


@pytest.mark.parametrize("sign", [1, -1])
def test_a_copy_is_held_to_1e_4_of_the_largest_output(sign):
    x = keras.Input((4,))
    head = layers.Dense(3, use_bias=False, name="head")
    model = keras.Model(x, head(x))
    copy = to_tf_keras(model)
    exact = head.get_weights()
    # Outputs are off by the same share as the weights.
    copy.get_layer("head").set_weights([exact[0] * (1 + sign * 0.99e-4)])
    assert check_same_outputs(model, copy) == pytest.approx(0.99e-4, rel=0.005)
    copy.get_layer("head").set_weights([exact[0] * (1 + sign * 1.01e-4)])
    with pytest.raises(BridgeError, match="more than 0.0001"):
        check_same_outputs(model, copy)


@pytest.mark.parametrize("value", [1.001, np.nan, np.inf])
def test_a_weight_that_differs_is_found_at_its_layer(both, value):
    kernel = both[1].get_layer("stage1").kernel
    kernel.assign(kernel * value)
    with pytest.raises(BridgeError, match="differ") as refusal:
        check_same_outputs(*both)
    assert refusal.value.layer == "stage1"


def test_a_difference_that_only_pixels_show_is_found():
    x = keras.Input((3,))
    clipped = keras.Model(x, layers.ReLU(max_value=50, name="relu")(x))
    free = to_tf_keras(keras.Model(x, layers.ReLU(name="relu")(x)))
    with pytest.raises(BridgeError, match="'relu'"):
        check_same_outputs(clipped, free)


def test_outputs_of_another_shape_are_found():
    x = keras.Input((4,))
    short = to_tf_keras(keras.Model(x, layers.Dense(2, name="head")(x)))
    long = keras.Model(x, layers.Dense(3, name="head")(x))
    with pytest.raises(BridgeError, match="'head'.*inf"):
        check_same_outputs(long, short)


def test_a_model_that_does_not_run_is_no_crash(both):
    x = keras.Input((4,))
    with pytest.raises(BridgeError, match="does not run"):
        check_same_outputs(keras.Model(x, layers.Dense(2)(x)), both[1])


def test_overflow_in_both_is_no_difference():
    x = keras.Input((4,))
    model = keras.Model(x, layers.Activation("exponential", name="y")(x))
    copy = to_tf_keras(model)
    pixels = np.full((1, 4), 255, "float32")
    assert np.isinf(model(pixels)).all() and np.isinf(copy(pixels)).all()
    assert check_same_outputs(model, copy) < 1e-5
    # In one of them it is one. Small inputs show no difference.
    powers = layers.Activation("exponential", name="powers")(x)
    clipped = layers.ReLU(max_value=1e30, name="y")(powers)
    finite = to_tf_keras(keras.Model(x, clipped))
    with pytest.raises(BridgeError, match="'y'.*inf"):
        check_same_outputs(model, finite)


def test_hard_sigmoid_would_be_found_where_it_was_let_through():
    x = keras.Input((4,), name="x")
    gate = layers.Activation("hard_sigmoid", name="gate")(x)
    model = keras.Model(x, layers.Dense(2, name="head")(gate))
    y = tf_keras.Input((4,), name="x")
    bridged = tf_keras.Model(
        y,
        tf_keras.layers.Dense(2, name="head")(
            tf_keras.layers.Activation("hard_sigmoid", name="gate")(y)
        ),
    )
    bridged.set_weights(model.get_weights())
    with pytest.raises(BridgeError, match="differ") as refusal:
        check_same_outputs(model, bridged)
    assert refusal.value.layer == "gate"


def test_a_users_function_under_a_stock_name_is_found():
    def tanh(x):
        return x * 0.5

    x = keras.Input((4,))
    model = keras.Model(x, layers.Dense(2, activation=tanh, name="odd")(x))
    with pytest.raises(BridgeError, match="differ") as refusal:
        to_tf_keras(model)
    assert refusal.value.layer == "odd"
