import keras

from keras_ft import zoo


def test_ends_in_the_shape_of_a_resnet():
    for size in (28, 32, 64):
        shape = (size, size, 3)
        mobile = zoo.mobilenet_v2_small(input_shape=shape)
        resnet = zoo.resnet8(input_shape=shape)
        assert (
            mobile.get_layer("stage3").output.shape
            == resnet.get_layer("stage3").output.shape
        )


def test_bottlenecks_are_linear_and_expanded_six_times():
    model = zoo.mobilenet_v2_small()
    assert isinstance(model.get_layer("stage2"), keras.layers.Add)
    expand = model.get_layer("stage2_block2_expand")
    assert expand.output.shape[-1] == 6 * expand.input.shape[-1]
    limits = {
        layer.max_value
        for layer in model.layers
        if isinstance(layer, keras.layers.ReLU)
    }
    assert limits == {6.0}
