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
    count = tf.shape(images)[0]
    size = images.shape[1:3]
    draws = tf.random.stateless_uniform((count, 4), seed, alg="philox")
    share, row, column, coin = tf.unstack(draws[:, :, None, None], axis=1)
    weight = tf.ones((count, *size)) * share
    if "cutmix" in kinds:
        box = _box(share, row, column, size)
        mixed_up = coin < 0.5 if "mixup" in kinds else False
        weight = tf.where(mixed_up, weight, box)
    own, others = weight[..., None], tf.gather(images, partners)
    images = own * images + (1.0 - own) * others
    kept = tf.reduce_mean(weight, axis=(1, 2))[:, None]
    return images, kept * labels + (1.0 - kept) * tf.gather(labels, partners)


def _box(share: Any, row: Any, column: Any, size: Any) -> Any:
    """Return 0 (B, H, W) within a box and 1 around it.

    The box has `1 - share` of the area, less what lies outside of the image;
    its center is anywhere in the image.
    """
    outside = []
    for center, length in zip((row, column), size, strict=True):
        side = tf.round(length * tf.sqrt(1.0 - share))
        first = tf.floor(center * length) - tf.floor(side / 2)
        place = tf.range(length, dtype=tf.float32)
        outside.append((place < first) | (place >= first + side))
    rows, columns = outside
    return tf.cast(tf.transpose(rows, (0, 2, 1)) | columns, tf.float32)
