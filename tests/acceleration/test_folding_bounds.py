"""How far a folded teacher may be off: the stated bounds, from both sides."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import relative_error

layers = keras.layers


class OffByOne(layers.Layer):
    """Maps of zeros and ones, and `shift` in the first of four channels.

    Its config forgets the shift, so that a copy of it is off by as much.
    """

    shift = 0.0

    def call(self, x):
        ones = ops.cast(ops.array([0.0, 0.0, 0.0, 1.0]), x.dtype)
        first = ops.cast(ops.array([1.0, 0.0, 0.0, 0.0]), x.dtype)
        return ops.zeros_like(x) + ones + self.shift * first


def teacher_off_by(shift):
    image = keras.Input((8, 8, 3))
    layer = OffByOne()
    layer.shift = shift
    x = layer(layers.Conv2D(4, 3, padding="same")(image))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x))


def whether_folded(teacher, images):
    model = ParaphraserTrainer(teacher, Paraphraser(0.5))
    model.compile("sgd")
    model.evaluate(images(4, 8, 8, 3), verbose=0)
    return model.accelerated["teacher"]


# The largest value is 1, so the shift is the relative error; the values that
# are off are 0 themselves, and one in four.
@pytest.mark.parametrize("sign", [1, -1])
def test_float32_is_held_to_1e_4(images, monkeypatch, sign):
    # Without oneDNN nothing is gained from bfloat16, whatever the processor.
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "0")
    said = whether_folded(teacher_off_by(sign * 0.99e-4), images)
    assert said == "batch normalization folded, float32"
    said = whether_folded(teacher_off_by(sign * 1.01e-4), images)
    assert said.startswith("as it is: output 0 in float32 differs")
    assert said.endswith("relative error 1.0e-04, above 0.0001")


class Turned(layers.Layer):
    """A vector turned by an angle in the last image of a batch.

    Its config forgets the angle.
    """

    angle = 0.0

    def call(self, x):
        last = ops.flip(ops.arange(ops.shape(x)[0]) < 1)
        angle = ops.where(last, self.angle, 0.0)
        turned = ops.stack([ops.cos(angle), ops.sin(angle)], axis=-1)
        return ops.cast(turned, x.dtype)

    def compute_output_shape(self, shape):
        return (shape[0], 2)


def turned_by(cosine):
    image = keras.Input((4,))
    layer = Turned()
    layer.angle = float(np.arccos(cosine))
    return keras.Model(image, layer(image))


def test_bfloat16_is_held_to_a_cosine_of_0_9995_in_every_image():
    folded = fold(turned_by(0.99951), "bfloat16")
    # Exact in bfloat16: nothing is off but the angle.
    np.testing.assert_array_equal(folded(np.zeros((3, 4))), [[1, 0]] * 3)
    with pytest.raises(NotFoldableError) as caught:
        fold(turned_by(0.99949), "bfloat16")
    assert "cosine 0.999490, below 0.9995" in caught.value.reason


def test_relative_error_is_the_largest_difference_over_the_largest_value():
    rng = np.random.default_rng(0)
    expected = rng.normal(size=(3, 4, 5))
    found = expected + rng.normal(size=(3, 4, 5)) * 1e-3
    by_hand = max(abs(found - expected).flat) / max(abs(expected).flat)
    assert relative_error(expected, found) == by_hand
    # The largest value may be negative, and the largest error as well.
    expected, found = np.array([1.0, -4.0]), np.array([1.0, -5.0])
    assert relative_error(expected, found) == 0.25
    assert relative_error(found, expected) == 0.2
    assert relative_error(-expected, -found) == 0.25
    # One that is not a number is never small.
    for value in (np.nan, np.inf):
        error = relative_error(expected, np.array([1.0, value]))
        assert not error <= 1e-4


def test_relative_error_of_nothing_and_of_low_precision():
    zeros = np.zeros(3, "float32")
    assert relative_error(zeros, zeros) == 0
    assert relative_error(zeros, zeros + 1e-30) > 1e-4
    half = ops.cast(ops.array([1.0, 3.0]), "bfloat16")
    # 2**-8 would be lost beside 3 in bfloat16: the sum is float64's.
    exact = np.array([1.0, 3.0 + 2**-8])
    assert relative_error(half, exact) == 2**-8 / 3
