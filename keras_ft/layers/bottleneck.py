"""Narrow feature maps that are wider than those Factor Transfer is known for.

The three convolutions of a network of Factor Transfer keep the channels of the
features, so that its parameters grow with their square: 132 million for the
2,048 of a ResNet-50 that has 26 million itself. A bottleneck, 1x1 convolutions
into and out of a quarter of the channels, makes 10 million of them: that is
what the blocks of ResNet-50 do before their own 3x3 convolutions.

Reference:
    He et al. 2016, arXiv:1512.03385, section 4.1, "Deeper Bottleneck
    Architectures".
"""

from keras_ft.errors import InputError

# The last maps of ResNet-34, which the paper distills on ImageNet.
WIDEST_PUBLISHED = 512
RATIO = 4


def check(bottleneck: int | str | None) -> None:
    """Refuse anything but "auto", None or a number of channels."""
    is_number = type(bottleneck) is int and bottleneck >= 1
    if not is_number and bottleneck not in ("auto", None):
        raise InputError(
            "bottleneck",
            repr(bottleneck),
            '"auto", None, or a number of channels, at least 1',
            f'Use "auto", which narrows what is wider than {WIDEST_PUBLISHED}.',
        )


def width(channels: int, bottleneck: int | str | None) -> int | None:
    """Return the channels that so many are narrowed to; None for all."""
    if bottleneck == "auto":
        wide = channels > WIDEST_PUBLISHED
        return channels // RATIO if wide else None
    return bottleneck  # type: ignore[return-value]
