import keras
import numpy as np
import pytest

from keras_ft.compression.activation_ranges import measure
from keras_ft.compression.quantizing import quantizable
from keras_ft.export import to_tf_keras

pytest.importorskip("tf_keras", reason="tf_keras is not installed")


@pytest.fixture
def wide():
    """A network whose logits reach far beyond tfmot's initial -6..6."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    spread = keras.initializers.RandomNormal(stddev=40.0)
    x = keras.layers.Dense(4, kernel_initializer=spread, name="head")(x)
    return to_tf_keras(keras.Model(image, x))


def test_ranges_are_those_of_the_float_network(wide, batch):
    images, _ = batch
    quantized = quantizable(wide)
    measure(quantized, wide, [images[:12], images[12:]])
    logits = [wide(half).numpy() for half in (images[:12], images[12:])]
    ranges = {
        weight.name: float(weight)
        for weight in quantized.get_layer("quant_head").weights
        if "post_activation" in weight.name
    }
    assert ranges == {
        "quant_head/post_activation_min:0": pytest.approx(
            np.mean([min(half.min(), 0.0) for half in logits]), rel=1e-5
        ),
        "quant_head/post_activation_max:0": pytest.approx(
            np.mean([half.max() for half in logits]), rel=1e-5
        ),
    }


def test_measured_ranges_clip_little(wide, batch):
    images, _ = batch
    expected = wide(images).numpy()
    assert np.abs(expected).max() > 12.0
    quantized = quantizable(wide)
    # Once in training mode: kernels are given their ranges there.
    quantized(images, training=True)
    clipped = quantized(images).numpy()
    measure(quantized, wide, [images])
    error = np.abs(quantized(images).numpy() - expected).max()
    assert np.abs(clipped - expected).max() > 6.0
    assert error < 0.1 * np.abs(expected).max()
