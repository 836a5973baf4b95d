"""MixUp and CutMix: pairs of images and of their labels become one.

MixUp (Zhang et al. 2018, arXiv 1710.09412) takes a weighted sum of two
images; CutMix (Yun et al. 2019, arXiv 1905.04899) pastes a box of one into the
other. Labels, as rows of probabilities, are mixed in the same proportion,
drawn uniformly (both papers' alpha = 1) for each image. A student and its
teacher see the same mixed image ("function matching", Beyer et al. 2022,
arXiv 2106.05237).
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf


def mix(
    images: Any,
    labels: Any,
    partners: Any,
    seed: Any,
    kinds: Sequence[str],
) -> tuple[Any, Any]:
    """Mix every image of a batch with another one, and their labels.

    Args:
        images: float32 (B, H, W, C) with static H and W.
        labels: float32 rows of class probabilities (B, classes).
        partners: int32 (B,): the position in the batch of each image's
            partner. One that is its own partner stays as it is.
        seed: Pair of integers, shape (2,): same seed, same mixtures.
        kinds: "mixup", "cutmix", or both: a coin then decides for each image.

    Returns:
        Images and labels of the same shapes.
    """
    shape = images.shape[1:]
    # Flat, because broadcasting along an axis of 3 takes four times as long.
    images = tf.reshape(images, (-1, shape[0], shape[1] * shape[2]))
    count = tf.shape(images)[0]
    draws = tf.random.stateless_uniform((count, 4), seed, alg="philox")
    share, row, column, coin = tf.unstack(draws[:, :, None, None], axis=1)
    weight = tf.ones((count, *images.shape[1:])) * share
    if "cutmix" in kinds:
        box = _box(share, row, column, shape)
        mixed_up = coin < 0.5 if "mixup" in kinds else False
        weight = tf.where(mixed_up, weight, box)
    others = tf.gather(images, partners)
    mixed = weight * images + (1.0 - weight) * others
    mixed = tf.reshape(mixed, (-1, *shape))
    kept = tf.reduce_mean(weight, axis=(1, 2))[:, None]
    return mixed, kept * labels + (1.0 - kept) * tf.gather(labels, partners)


def _box(share: Any, row: Any, column: Any, shape: Any) -> Any:
    """Return 0 within a box and 1 around it, (B, H, W * C) for (H, W, C).

    The box has `1 - share` of the area, less what lies outside of the image;
    its center is anywhere in the image.
    """
    outside = []
    # Every channel of a pixel is at the same place.
    for center, length, times in (
        (row, shape[0], 1),
        (column, shape[1], shape[2]),
    ):
        side = tf.round(length * tf.sqrt(1.0 - share))
        first = tf.floor(center * length) - tf.floor(side / 2)
        place = np.repeat(np.arange(length, dtype=np.float32), times)
        outside.append((place < first) | (place >= first + side))
    rows, columns = outside
    return tf.cast(tf.transpose(rows, (0, 2, 1)) | columns, tf.float32)
