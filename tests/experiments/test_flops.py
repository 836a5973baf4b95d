"""Operations counted by hand, and by TensorFlow's profiler."""

import keras
import pytest

from keras_ft import Paraphraser
from keras_ft import zoo
from keras_ft.experiments import flops


# Multiply-accumulates as tests/zoo/test_costs.py adds them up; beyond them the
# profiler counts normalization and additions.
@pytest.mark.parametrize(
    ("name", "multiply_accumulates"),
    [("resnet20", 40_813_184), ("resnet56", 125_747_840)],
)
def test_resnets_have_twice_their_multiply_accumulates(
    name, multiply_accumulates
):
    count = flops.forward_flops(zoo.build(name), (32, 32, 3))
    assert count > 2 * multiply_accumulates
    assert count == pytest.approx(2 * multiply_accumulates, rel=0.01)


def test_encoder_and_decoder_of_the_official_paraphraser():
    layer = Paraphraser(0.5)
    layer.build((None, 8, 8, 64))
    encoder = 9 * 8 * 8 * (64 * 64 + 64 * 32 + 32 * 32)
    biases = 8 * 8 * (64 + 32 + 32)
    found = flops.forward_flops(layer, (8, 8, 64))
    assert found == 2 * encoder + biases
    both = flops.forward_flops(layer.reconstruct, (8, 8, 64))
    decoder_biases = 8 * 8 * (32 + 64 + 64)
    assert both == 4 * encoder + biases + decoder_biases


def test_a_dense_and_a_depthwise_layer():
    dense = keras.layers.Dense(5, use_bias=False)
    assert flops.forward_flops(dense, (7,)) == 2 * 7 * 5
    depthwise = keras.layers.DepthwiseConv2D(3, padding="same", use_bias=False)
    count = flops.forward_flops(depthwise, (6, 6, 4))
    assert count == 2 * 9 * 6 * 6 * 4
