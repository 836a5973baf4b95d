"""Augmentation: pad, crop and flip a whole batch, without hidden state.

The augmentation of the CIFAR ResNets (He et al. 2016, arXiv 1512.03385,
section 4.2): pad zero pixels on each side, 4 for images of 32, crop a random
window of the original size, flip horizontally with probability one half.
"""

from typing import Any
from typing import NamedTuple

import tensorflow as tf

PADDING = 4


def padding_for(shape: Any) -> int:
    """Return the padding for images (H, W, C): an eighth of the shorter side.

    That is the paper's 4 of 32 pixels; smaller images get 4 as well.
    """
    return max(PADDING, min(shape[:2]) // 8)


class Views(NamedTuple):
    """Which view of each image to take; int32 vectors of length B.

    With padding 4 there are 9 * 9 * 2 = 162 views of an image.

    Attributes:
        rows: First row of the crop in the padded image, 0..2 * padding.
        columns: First column of the crop, 0..2 * padding.
        flips: 1 where the crop is mirrored left to right, else 0.
    """

    rows: Any
    columns: Any
    flips: Any


def draw_views(count: Any, seed: Any, padding: int = PADDING) -> Views:
    """Draw random views, a pure function of the arguments.

    Args:
        count: Number of images B (int or scalar tensor).
        seed: Pair of integers, shape (2,).
        padding: Zero pixels added on each side, >= 0.

    Returns:
        `Views` of length B.
    """
    side = 2 * padding + 1
    views = tf.random.stateless_uniform(
        (count,), seed, 0, 2 * side * side, tf.int32, alg="philox"
    )
    crops = views // 2
    return Views(crops // side, crops % side, views % 2)


def apply_views(images: Any, views: Views, padding: int = PADDING) -> Any:
    """Take the given view of every image.

    Args:
        images: uint8 batch (B, H, W, C) with static H, W and C.
        views: One view per image.
        padding: The padding the views were drawn for.

    Returns:
        uint8 batch of the same shape.
    """
    height, width, channels = images.shape[1:]
    padded_width = width + 2 * padding
    padded_size = (height + 2 * padding) * padded_width
    padded = tf.pad(
        images, [[0, 0], [padding, padding], [padding, padding], [0, 0]]
    )
    # One flat gather of pixels is 1.6 to 2 times as fast as two batched
    # gathers, ImageProjectiveTransform or tf.where on both mirrorings.
    rows = views.rows[:, None] + tf.range(height)
    columns = tf.range(width)[None]
    columns = columns + views.flips[:, None] * (width - 1 - 2 * columns)
    columns = columns + views.columns[:, None]
    first = tf.range(tf.shape(images)[0]) * padded_size
    pixels = (first[:, None] + rows * padded_width)[:, :, None]
    return tf.gather(
        tf.reshape(padded, (-1, channels)), pixels + columns[:, None, :]
    )


def pad_crop_flip(
    images: Any,
    seed: Any,
    padding: int = PADDING,
    *,
    crop: bool = True,
    flip: bool = True,
) -> Any:
    """Pad, crop and flip a uint8 batch at random.

    Args:
        images: uint8 batch (B, H, W, C) with static H, W and C.
        seed: Pair of integers, shape (2,): same seed, same views.
        padding: Zero pixels added on each side before cropping, >= 0.
        crop: Whether to crop; without, nothing is padded either.
        flip: Whether to flip.

    Returns:
        uint8 batch of the same shape.
    """
    views = draw_views(tf.shape(images)[0], seed, padding)
    if not crop:
        middle = tf.fill(tf.shape(views.rows), padding)
        views = views._replace(rows=middle, columns=middle)
    if not flip:
        views = views._replace(flips=tf.zeros_like(views.flips))
    return apply_views(images, views, padding)
