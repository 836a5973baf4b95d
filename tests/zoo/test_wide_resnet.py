import keras
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError


@pytest.mark.parametrize("depth", [4, 15, 20, 40.0])
def test_refuses_other_depths(depth):
    with pytest.raises(InputError, match="depth"):
        zoo.wide_resnet(depth, 1)


@pytest.mark.parametrize("width", [0, 1.5, None])
def test_refuses_other_widths(width):
    with pytest.raises(InputError, match="width"):
        zoo.wide_resnet(16, width)


@pytest.mark.parametrize(("width", "shortcuts"), [(1, 2), (2, 3)])
def test_a_shortcut_has_weights_only_where_the_width_changes(width, shortcuts):
    model = zoo.wide_resnet(16, width)
    names = [layer.name for layer in model.layers]
    assert sum("shortcut_conv" in name for name in names) == shortcuts
    assert model.name == f"wrn16_{width}"


def test_pre_activation():
    model = zoo.wide_resnet(10, 1)
    # The bare sums end stages 1 and 2; the widening block rectifies before
    # its shortcut forks off, the others do not.
    assert isinstance(model.get_layer("stage1"), keras.layers.Add)
    assert isinstance(model.get_layer("stage2"), keras.layers.Add)
    assert isinstance(model.get_layer("stage3_block1_add"), keras.layers.Add)
    shortcut = model.get_layer("stage2_block1_shortcut_conv")
    assert shortcut.input is model.get_layer("stage2_block1_relu1").output
    stage1_inputs = model.get_layer("stage1").input
    assert stage1_inputs[0] is model.get_layer("stem").output
