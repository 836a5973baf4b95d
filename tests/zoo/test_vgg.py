import pytest

from keras_ft import zoo


# RepDistiller, models/vgg.py: the last pool only for 64-pixel images.
@pytest.mark.parametrize(
    ("size", "sides"),
    [
        (28, [28, 14, 7, 3, 3]),
        (32, [32, 16, 8, 4, 4]),
        (63, [63, 31, 15, 7, 7]),
        (64, [64, 32, 16, 8, 4]),
    ],
)
def test_map_sizes(size, sides):
    model = zoo.vgg8(input_shape=(size, size, 3))
    parts = ["stem", "stage1", "stage2", "stage3", "stage4"]
    shapes = [model.get_layer(part).output.shape for part in parts]
    assert [shape[1] for shape in shapes] == sides
    assert [shape[3] for shape in shapes] == [64, 128, 256, 512, 512]


def test_one_short_side_keeps_the_map():
    model = zoo.vgg8(input_shape=(64, 28, 3))
    assert model.get_layer("stage4").output.shape == (None, 8, 3, 512)
