"""The figures on the model cards: parameters and multiply-accumulates."""

import math

import keras
import pytest

from keras_ft import zoo


def parameters(model):
    return sum(math.prod(w.shape) for w in model.trainable_weights)


def multiply_accumulates(model):
    """Convolutions and Dense layers only, as everybody counts."""
    return sum(
        math.prod(layer.kernel.shape) * math.prod(layer.output.shape[1:-1])
        for layer in model.layers
        if isinstance(
            layer,
            (
                keras.layers.Conv2D,
                keras.layers.DepthwiseConv2D,
                keras.layers.Dense,
            ),
        )
    )


def resnet_parameters(n, projection, classes=10):
    """Convolutions, batch norms (2 per channel) and head, added up."""

    def stage(before, channels):
        convolutions = 9 * before * channels + (2 * n - 1) * 9 * channels**2
        return convolutions + 2 * n * 2 * channels

    def shortcut(before, channels):
        return before * channels + 2 * channels

    total = 3 * 9 * 16 + 2 * 16
    total += stage(16, 16) + stage(16, 32) + stage(32, 64)
    total += projection * (shortcut(16, 32) + shortcut(32, 64))
    return total + 64 * classes + classes


# Millions as printed in the table at the top of akamaster/
# pytorch_resnet_cifar10, resnet.py (identity shortcuts).
@pytest.mark.parametrize(
    ("depth", "card", "identity_card", "published"),
    [
        (8, 78_042, 75_290, None),
        (14, 175_258, 172_506, None),
        (20, 272_474, 269_722, 0.27),
        (32, 466_906, 464_154, 0.46),
        (44, 661_338, 658_586, 0.66),
        (56, 855_770, 853_018, 0.85),
        (110, 1_730_714, 1_727_962, 1.7),
    ],
)
def test_resnet_parameters(depth, card, identity_card, published, built):
    n = (depth - 2) // 6
    name = f"resnet{depth}"
    build = getattr(zoo, name)
    assert f"{card:,}" in build.__doc__
    assert f"{identity_card:,}" in build.__doc__
    assert card == resnet_parameters(n, projection=True)
    assert identity_card == resnet_parameters(n, projection=False)
    if published:
        # The table cuts 1.73 to 1.7.
        tolerance = 0.006 if depth < 110 else 0.03
        assert identity_card / 1e6 == pytest.approx(published, abs=tolerance)
    model = built(name)
    assert parameters(model) == card
    assert f"{multiply_accumulates(model) / 1e6:.1f} MMAC" in build.__doc__
    # The depth adds nothing to the difference, only seconds.
    if depth <= 20:
        assert parameters(built(name, "identity")) == identity_card


def test_resnet_multiply_accumulates(built):
    stage1 = 6 * 9 * 16 * 16 * 32**2
    stage2 = (9 * 16 * 32 + 5 * 9 * 32 * 32 + 16 * 32) * 16**2
    stage3 = (9 * 32 * 64 + 5 * 9 * 64 * 64 + 32 * 64) * 8**2
    total = 9 * 3 * 16 * 32**2 + stage1 + stage2 + stage3 + 64 * 10
    assert total == 40_813_184
    assert multiply_accumulates(built("resnet20")) == total


def mobilenet_parameters():
    """Stem, six inverted residuals, last convolution and head, added up."""

    def block(before, wide, after):
        expand = (before * wide + 2 * wide) * (before != wide)
        return expand + (9 + 2) * wide + wide * after + 2 * after

    blocks = block(16, 16, 16) + block(16, 96, 24) + block(24, 144, 24)
    blocks += block(24, 144, 40) + 2 * block(40, 240, 40)
    last = 40 * 64 + 2 * 64
    return 27 * 16 + 2 * 16 + blocks + last + 64 * 10 + 10


# Vgg as in RepDistiller, models/vgg.py, less its 64 + 128 + 256 + 512 + 512
# convolution biases (twice that for vgg13).
@pytest.mark.parametrize(
    ("name", "expected", "mega_macs"),
    [
        (
            "vgg8",
            9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 512)
            + 2 * (64 + 128 + 256 + 512 + 512)
            + 512 * 10
            + 10,
            96.1,
        ),
        (
            "vgg13",
            9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512 * 512)
            + 9 * (64**2 + 128**2 + 256**2 + 512**2 + 512**2)
            + 4 * (64 + 128 + 256 + 512 + 512)
            + 512 * 10
            + 10,
            284.9,
        ),
        ("mobilenet_v2_small", mobilenet_parameters(), 9.6),
    ],
)
def test_card(name, expected, mega_macs, built):
    model = built(name)
    assert parameters(model) == expected
    assert multiply_accumulates(model) / 1e6 == pytest.approx(
        mega_macs, abs=0.05
    )
    assert f"{expected:,} parameters" in getattr(zoo, name).__doc__
    assert f"{mega_macs} MMAC" in getattr(zoo, name).__doc__


def wide_resnet_parameters(n, width, classes=10):
    def stage(before, channels):
        convolutions = 9 * before * channels + (2 * n - 1) * 9 * channels**2
        norms = 2 * before + (2 * n - 1) * 2 * channels
        shortcut = before * channels * (before != channels)
        return convolutions + norms + shortcut

    a, b, c = 16 * width, 32 * width, 64 * width
    blocks = stage(16, a) + stage(a, b) + stage(b, c)
    return 27 * 16 + blocks + 2 * c + c * classes + classes


@pytest.mark.parametrize(
    ("depth", "width", "card", "mega_macs"),
    [
        (16, 1, 175_066, 26.7),
        (16, 2, 691_674, 101.1),
        (40, 1, 563_930, 83.3),
        (40, 2, 2_243_546, 327.6),
    ],
)
def test_wide_resnet_card(depth, width, card, mega_macs, built):
    model = built(f"wrn{depth}_{width}")
    assert parameters(model) == card
    assert card == wide_resnet_parameters((depth - 4) // 6, width)
    assert multiply_accumulates(model) / 1e6 == pytest.approx(
        mega_macs, abs=0.05
    )
    assert f"{card:,}" in zoo.wide_resnet.__doc__
    assert f"{mega_macs} |" in zoo.wide_resnet.__doc__
