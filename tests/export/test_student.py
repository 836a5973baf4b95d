import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.export import PrecisionError
from keras_ft.export.student import in_float32


def test_a_float32_student_is_left_alone(student):
    assert in_float32(student) is student


def test_nested_and_shared_layers_are_rebuilt_with_their_weights():
    keras.config.set_dtype_policy("mixed_bfloat16")
    block = keras.Sequential(
        [keras.Input((6,)), layers.Dense(6), layers.BatchNormalization()],
        name="block",
    )
    image = keras.Input((6,))
    output = layers.Dense(3, name="head")(block(block(image)))
    mixed = keras.Model(image, output)
    for variable in mixed.weights:
        variable.assign(np.random.rand(*variable.shape))

    rebuilt = in_float32(mixed)

    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert rebuilt.get_layer("head").compute_dtype == "float32"
    assert rebuilt.get_layer("block").layers[0].compute_dtype == "float32"
    assert mixed.get_layer("head").compute_dtype == "bfloat16"
    values = np.random.rand(4, 6).astype(np.float32)
    expected = keras.ops.convert_to_numpy(mixed(values, training=False))
    received = keras.ops.convert_to_numpy(rebuilt(values, training=False))
    # bfloat16 has 8 bits of precision.
    np.testing.assert_allclose(received, expected, rtol=0.05)


def test_a_layer_that_insists_on_half_precision_is_refused():
    class Stubborn(layers.Layer):
        def __init__(self, **kwargs):
            super().__init__(**{**kwargs, "dtype": "float16"})

        def call(self, inputs):
            return inputs

    image = keras.Input((3,))
    model = keras.Model(image, Stubborn()(layers.Dense(3)(image)))
    with pytest.raises(PrecisionError, match="float32"):
        in_float32(model)
