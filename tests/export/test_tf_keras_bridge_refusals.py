"""What the bridge to tf_keras cannot carry is refused by name."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.errors import InputError
from keras_ft.export import BridgeError
from keras_ft.export import to_tf_keras

pytest.importorskip("tf_keras", reason="tf_keras is not installed")

SHAPE = (8, 8, 3)


def test_an_own_regularizer_is_refused():
    class Own(keras.regularizers.Regularizer):
        def __call__(self, x):
            return 0.0

        def get_config(self):
            return {}

    dense = layers.Dense(3, kernel_regularizer=Own(), name="bad")
    model = keras.Sequential([keras.Input((4,)), dense])
    with pytest.raises(BridgeError, match="kernel_regularizer=Own"):
        to_tf_keras(model)


def test_operations_outside_layers_are_refused():
    image = keras.Input(SHAPE)
    for output in (image**2, keras.ops.relu(image), image[:, 0]):
        with pytest.raises(BridgeError, match="outside of a layer"):
            to_tf_keras(keras.Model(image, output))
    inner = keras.Model(image, keras.ops.exp(image), name="inner")
    with pytest.raises(BridgeError, match="outside of a layer"):
        to_tf_keras(keras.Model(image, inner(image)))


def test_subclassed_models_are_refused():
    class Own(keras.Model):
        def call(self, inputs):
            return inputs * 2

    class OwnGraph(keras.Model):
        def call(self, inputs):
            return super().call(inputs) * 2

    image = keras.Input(SHAPE)
    outer = keras.Model(image, Own()(image))
    derived = OwnGraph(image, layers.ReLU()(image))
    for model in (outer, derived, Own()):
        with pytest.raises(BridgeError, match="subclassed"):
            to_tf_keras(model)


def test_arguments_that_change_what_is_computed_are_refused():
    image, steps = keras.Input(SHAPE), keras.Input((5, 3))
    dropped = layers.Dropout(0.5, name="bad")(image, training=True)
    with pytest.raises(BridgeError, match="training=True"):
        to_tf_keras(keras.Model(image, dropped))
    masked = layers.LSTM(2)(layers.Masking(name="bad")(steps))
    with pytest.raises(BridgeError, match="Masking"):
        to_tf_keras(keras.Model(steps, masked))
    batch = keras.Input(batch_shape=(2, 5, 3))
    stateful = layers.LSTM(2, stateful=True, name="bad")(batch)
    with pytest.raises(BridgeError, match="stateful"):
        to_tf_keras(keras.Model(batch, stateful))
    maybe = keras.Input(SHAPE, optional=True, name="bad")
    with pytest.raises(BridgeError, match="optional"):
        to_tf_keras(keras.Model(maybe, layers.ReLU()(maybe)))


def test_what_is_no_model_and_other_backends_are_refused(monkeypatch):
    with pytest.raises(InputError, match="a str"):
        to_tf_keras("student.keras")
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(InputError, match="KERAS_BACKEND"):
        to_tf_keras(keras.Sequential([keras.Input(SHAPE)]))


def test_constant_arrays_are_refused():
    image = keras.Input((3,))
    added = layers.Add(name="bad")([image, np.ones((1, 3), np.float32)])
    with pytest.raises(BridgeError, match="constant array") as refusal:
        to_tf_keras(keras.Model(image, added))
    assert refusal.value.layer == "bad"
