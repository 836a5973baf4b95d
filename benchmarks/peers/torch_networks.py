"""The zoo's networks in PyTorch, parameter for parameter.

Each has `body`, whose output is the feature map that Factor Transfer taps, and
`head`; calling it returns logits.
"""

import re

import contenders
from torch import nn


class Network(nn.Module):
    """A body, global average pooling, a linear head.

    Args:
        body: From images to feature maps.
        channels: Of these.
    """

    def __init__(self, body, channels):
        super().__init__()
        self.body = body
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Linear(channels, contenders.CLASSES)
        self.channels = channels

    def forward(self, images):
        return self.features_and_logits(images)[1]

    def features_and_logits(self, images):
        features = self.body(images)
        return features, self.head(self.pool(features).flatten(1))


class Residual(nn.Module):
    """Two convolutions beside a shortcut; rectified after the sum."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.main = nn.Sequential(
            *convolved(before, after, stride),
            nn.ReLU(),
            *convolved(after, after, 1),
        )
        self.shortcut = nn.Identity()
        if before != after:
            self.shortcut = nn.Sequential(*convolved(before, after, stride, 1))

    def forward(self, x):
        return nn.functional.relu(self.main(x) + self.shortcut(x))


class PreActivated(nn.Module):
    """Two convolutions, each after its normalization and rectifier."""

    def __init__(self, before, after, stride):
        super().__init__()
        self.first = nn.Sequential(nn.BatchNorm2d(before), nn.ReLU())
        self.main = nn.Sequential(
            *convolved(before, after, stride),
            nn.ReLU(),
            convolution(after, after, 1),
        )
        self.shortcut = None
        if before != after:
            self.shortcut = convolution(before, after, stride, 1)

    def forward(self, x):
        y = self.first(x)
        return self.main(y) + (x if self.shortcut is None else self.shortcut(y))


def convolution(before, after, stride, size=3):
    return nn.Conv2d(before, after, size, stride, padding=size // 2, bias=False)


def convolved(before, after, stride, size=3):
    return convolution(before, after, stride, size), nn.BatchNorm2d(after)


def stages(block, blocks, before, widths):
    """Return stages of blocks, each after the first beginning with stride 2."""
    layers = []
    for number, width in enumerate(widths):
        for index in range(blocks):
            stride = 2 if number and not index else 1
            layers.append(block(before, width, stride))
            before = width
    return layers


def resnet(depth):
    stem = *convolved(3, 16, 1), nn.ReLU()
    blocks = stages(Residual, (depth - 2) // 6, 16, (16, 32, 64))
    return Network(nn.Sequential(*stem, *blocks), 64)


def wide_resnet(depth, width):
    widths = (16 * width, 32 * width, 64 * width)
    blocks = stages(PreActivated, (depth - 4) // 6, 16, widths)
    end = nn.BatchNorm2d(widths[-1]), nn.ReLU()
    return Network(
        nn.Sequential(convolution(3, 16, 1), *blocks, *end), widths[-1]
    )


def vgg(depth):
    layers, before = [], 3
    for number, width in enumerate((64, 128, 256, 512, 512)):
        # For images of 32x32 the last part is not pooled.
        if 0 < number < 4:
            layers.append(nn.MaxPool2d(2))
        for _ in range((depth - 3) // 5):
            layers += [*convolved(before, width, 1), nn.ReLU()]
            before = width
    return Network(nn.Sequential(*layers), before)


def build(name):
    """Return the network of that name in the zoo."""
    kind, *numbers = re.match(r"([a-z]+)(\d+)_?(\d+)?", name).groups()
    makers = {"resnet": resnet, "wrn": wide_resnet, "vgg": vgg}
    return makers[kind](*(int(number) for number in numbers if number))


def trainable(model):
    return sum(p.numel() for p in model.parameters() if p.requires_grad)
