import pytest

from keras_ft import zoo
from keras_ft.compression.quantizing import quantizable
from keras_ft.export import to_tf_keras

pytest.importorskip("tf_keras", reason="tf_keras is not installed")


def test_only_normalizations_that_are_not_folded_stay_in_float():
    quantized = quantizable(to_tf_keras(zoo.wide_resnet(10, 1)))
    in_float = {
        layer.layer.name
        for layer in quantized.layers
        if type(getattr(layer, "quantize_config", None)).__name__ == "InFloat"
    }
    # The first one's convolution also feeds the shortcut.
    first = {f"stage{stage}_block1_bn1" for stage in (1, 2, 3)}
    assert in_float == {*first, "stage3_bn"}


def test_the_network_itself_stays_as_it_is():
    network = to_tf_keras(zoo.resnet8())
    before = [weight.numpy() for weight in network.weights]
    names = [layer.name for layer in network.layers]
    quantized = quantizable(network)
    quantized.get_layer("quant_head").layer.bias.assign_add([1.0] * 10)
    assert [layer.name for layer in network.layers] == names
    for old, weight in zip(before, network.weights, strict=True):
        assert (old == weight.numpy()).all()
    assert network.get_layer("stage3").output.shape == (None, 8, 8, 64)
