import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError


@pytest.mark.parametrize("depth", [8, 14, 20])
def test_depth_counts_weighted_layers(depth, built):
    model = built(f"resnet{depth}")
    weighted = [
        layer.name
        for layer in model.layers
        if isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense))
        and "shortcut" not in layer.name
    ]
    assert len(weighted) == depth
    assert model.name == f"resnet{depth}"


@pytest.mark.parametrize("depth", [2, 7, 18, 21, "20", None])
def test_refuses_other_depths(depth):
    with pytest.raises(InputError, match="depth"):
        zoo.cifar_resnet(depth)


def test_names_the_nearest_depths():
    with pytest.raises(InputError, match="depth=14 or depth=20"):
        zoo.cifar_resnet(18)


def test_refuses_an_unknown_shortcut():
    with pytest.raises(InputError, match="'identity'"):
        zoo.resnet8(shortcut="A")


@pytest.mark.parametrize("size", [(28, 28), (29, 31), (40, 36)])
def test_identity_shortcut_is_subsampling_and_zero_channels(size):
    # Option A as akamaster/pytorch_resnet_cifar10 writes it:
    # pad(x[:, :, ::2, ::2], channels // 4 on both sides).
    model = zoo.resnet8(input_shape=(*size, 3), shortcut="identity")
    for stage, channels in ((2, 32), (3, 64)):
        view = keras.Model(
            model.input,
            [
                model.get_layer(f"stage{stage - 1}").output,
                model.get_layer(f"stage{stage}_block1_shortcut_pad").output,
            ],
        )
        images = np.random.default_rng(0).normal(size=(2, *size, 3))
        before, after = map(
            np.asarray, view(images.astype("float32"), training=False)
        )
        pad = channels // 4
        np.testing.assert_array_equal(
            after,
            np.pad(
                before[:, ::2, ::2, :], ((0, 0), (0, 0), (0, 0), (pad, pad))
            ),
        )
        assert before.any()


def test_strided_convolution_is_aligned_as_in_pytorch():
    # One row and column of zeros on every side, then every second window:
    # output (0, 0) is centered on input (0, 0), not on (1, 1).
    model = zoo.resnet8()
    view = keras.Model(
        model.input,
        [
            model.get_layer("stage1").output,
            model.get_layer("stage2_block1_conv1").output,
        ],
    )
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3))
    before, after = map(
        np.asarray, view(images.astype("float32"), training=False)
    )
    kernel = model.get_layer("stage2_block1_conv1").kernel.numpy()
    padded = np.pad(before, ((0, 0), (1, 1), (1, 1), (0, 0)))
    for row, column in ((0, 0), (3, 7), (15, 15)):
        window = padded[0, 2 * row : 2 * row + 3, 2 * column : 2 * column + 3]
        expected = np.einsum("hwi,hwio->o", window, kernel)
        np.testing.assert_allclose(
            after[0, row, column], expected, rtol=1e-4, atol=1e-5
        )


def test_projection_shortcut_reads_every_second_pixel():
    model = zoo.resnet8()
    view = keras.Model(
        model.input,
        [
            model.get_layer("stage1").output,
            model.get_layer("stage2_block1_shortcut_conv").output,
        ],
    )
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3))
    before, after = map(
        np.asarray, view(images.astype("float32"), training=False)
    )
    kernel = model.get_layer("stage2_block1_shortcut_conv").kernel.numpy()
    np.testing.assert_allclose(
        after, before[:, ::2, ::2] @ kernel[0, 0], rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("depth", [4, 15, 20, 40.0])
def test_refuses_other_depths_of_a_wide_resnet(depth):
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
