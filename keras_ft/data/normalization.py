"""Normalization: from pixels to network input."""

import dataclasses
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_ft.errors import InputError


@dataclasses.dataclass(frozen=True)
class Normalization:
    """Per-channel mean and deviation on the 0..1 scale.

    A pixel value p in 0..255 becomes `(p / 255 - mean) / std`.

    Args:
        mean: One number in 0..1 per channel.
        std: One number above 0 per channel.

    Example:

    >>> normalization = keras_ft.data.Normalization((0.5,), (0.25,))
    >>> normalization.apply(np.full((1, 1, 1), 255, np.uint8))
    array([[[2.]]], dtype=float32)
    """

    mean: tuple[float, ...]
    std: tuple[float, ...]

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Normalization":
        """Make one of the `mean` and `std` that JSON holds."""
        return cls(tuple(content["mean"]), tuple(content["std"]))

    @classmethod
    def of(cls, blocks: Iterable[np.ndarray]) -> "Normalization":
        """Compute it from uint8 images, over everything but the last axis.

        Exact: pixels are counted per value, the sums are float64. A constant
        channel gets the deviation 1, so it becomes 0, not NaN.

        Args:
            blocks: Arrays (N, H, W, C) that are taken together.
        """
        counts: dict[int, np.ndarray] = {}
        for block in blocks:
            for channel in range(block.shape[-1]):
                pixels = block[..., channel].reshape(-1)
                counts.setdefault(channel, np.zeros(256))
                counts[channel] += np.bincount(pixels, minlength=256)
        values = np.arange(256) / 255.0
        mean, std = [], []
        for count in counts.values():
            weights = count / count.sum()
            mean.append(float(weights @ values))
            spread = float(np.sqrt(weights @ (values - mean[-1]) ** 2))
            std.append(spread or 1.0)
        return cls(tuple(mean), tuple(std))

    def scale_and_shift(self) -> tuple[np.ndarray, np.ndarray]:
        """Return float32 pairs with `input = pixel * scale + shift`."""
        mean, std = np.array(self.mean), np.array(self.std)
        scale = (1.0 / (255.0 * std)).astype(np.float32)
        return scale, (-mean / std).astype(np.float32)

    def apply(self, images: np.ndarray) -> np.ndarray:
        """Map uint8 images (..., C) to the float32 that pipelines yield."""
        scale, shift = self.scale_and_shift()
        return images.astype(np.float32) * scale + shift

    def check_channels(self, channels: int) -> None:
        """Refuse a normalization that was made for other images."""
        if (len(self.mean), len(self.std)) != (channels, channels):
            raise InputError(
                "normalization",
                self,
                f"one mean and one std for each of {channels} channels",
                "Leave it out to have it computed.",
            )


RAW, ZERO_TO_ONE, MINUS_ONE_TO_ONE = "raw", "0..1", "-1..1"
IMAGENET_STATISTICS, DATASET = "imagenet", "dataset"
# What a network may take a pixel 0..255 as; the words of `pixels=`.
RANGES = (RAW, ZERO_TO_ONE, MINUS_ONE_TO_ONE, IMAGENET_STATISTICS, DATASET)


def of_range(
    name: str, channels: int, dataset: Normalization
) -> Normalization | None:
    """Return the normalization that a range of pixels stands for.

    Args:
        name: One of `RANGES`.
        channels: Of the images.
        dataset: The one that `"dataset"` stands for.

    Returns:
        It; `None` for ImageNet's and images that are not RGB.
    """
    if name == DATASET:
        return dataset
    if name == IMAGENET_STATISTICS:
        return IMAGENET if channels == len(IMAGENET.mean) else None
    mean, std = {
        RAW: (0.0, 1 / 255),
        ZERO_TO_ONE: (0.0, 1.0),
        MINUS_ONE_TO_ONE: (0.5, 0.5),
    }[name]
    return Normalization((mean,) * channels, (std,) * channels)


# Official Factor Transfer code (Jangho-Kim/Factor-Transfer-pytorch) and many
# CIFAR repositories; the deviations are means of per-image ones.
CIFAR10 = Normalization((0.4914, 0.4822, 0.4465), (0.2023, 0.1994, 0.2010))
# torchvision's, which public PyTorch networks of RGB images expect.
IMAGENET = Normalization((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
# Of the 60,000 official training images (tools/build_fashion_mini.py writes
# them to PROVENANCE.json); the shipped teacher was trained with these.
FASHION_MNIST = Normalization((0.2860405969887955,), (0.35302424451492254,))
