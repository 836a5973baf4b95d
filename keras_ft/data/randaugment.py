"""RandAugment (Cubuk et al. 2020, arXiv 1909.13719) without hidden state.

Every image gets 2 operations, drawn with replacement from the paper's 14, at
magnitude 9 of 30 and with a random sign where there is one: the defaults of
torchvision. Operations compute what Pillow's do, on uint8. Keras' own layer
draws one operation for the whole batch from a variable, so that a batch would
be no function of its seed, and takes RGB alone.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

OPERATIONS_PER_IMAGE = 2
MAGNITUDE = 9 / 30
SHEAR = 0.3 * MAGNITUDE
TRANSLATION = 150 / 331 * MAGNITUDE  # of the image's side, whole pixels
DEGREES = 30 * MAGNITUDE
ENHANCEMENT = 0.9 * MAGNITUDE
BITS = 8 - round(4 * MAGNITUDE)
THRESHOLD = 255 * (1 - MAGNITUDE)


def randaugment(images: Any, seed: Any) -> Any:
    """Apply two random operations to each image of a batch.

    Args:
        images: uint8 (B, H, W, C) with static H, W and C; gray with C = 1,
            RGB with C = 3. Others count as gray, channel by channel.
        seed: Pair of integers, shape (2,): same seed, same operations.

    Returns:
        uint8 batch of the same shape.
    """
    names = list(OPERATIONS)
    shape = (OPERATIONS_PER_IMAGE, tf.shape(images)[0])
    draws = tf.random.stateless_uniform(
        shape, seed, 0, 2 * len(names), tf.int32, alg="philox"
    )
    for drawn in tf.unstack(draws):
        images = apply(images, drawn // 2, 1 - 2 * (drawn % 2))
    return images


def apply(images: Any, operations: Any, signs: Any) -> Any:
    """Apply to each image the operation of its number, with its sign.

    Args:
        images: uint8 (B, H, W, C).
        operations: int32 (B,), places in `OPERATIONS`.
        signs: int32 (B,), 1 or -1.
    """
    # By groups: each image passes through its own operation alone.
    count = len(OPERATIONS)
    groups = tf.dynamic_partition(images, operations, count)
    their_signs = tf.dynamic_partition(signs, operations, count)
    places = tf.dynamic_partition(
        tf.range(tf.shape(images)[0]), operations, count
    )
    done = [
        operation(group, sign)
        for operation, group, sign in zip(
            OPERATIONS.values(), groups, their_signs, strict=True
        )
    ]
    return tf.ensure_shape(tf.dynamic_stitch(places, done), images.shape)


def _warp(matrix: Callable[[int, int, int], list[float]]) -> Any:
    """Return an operation that takes pixels from elsewhere, 0 from outside.

    Args:
        matrix: From sign, height and width to (a, b, c, d, e, f): what is at
            (x, y) comes from (ax + by + c, dx + ey + f).
    """

    def warp(images: Any, signs: Any) -> Any:
        size = images.shape[1:3]
        rows = []
        for sign in (1, -1):
            a, b, c, d, e, f = matrix(sign, *size)
            # Pixels lie half a step beside the grid that Pillow counts on.
            c, f = c + (a + b - 1) / 2, f + (d + e - 1) / 2
            rows.append([a, b, c, d, e, f, 0.0, 0.0])
        return tf.raw_ops.ImageProjectiveTransformV3(
            images=images,
            transforms=tf.gather(tf.constant(rows), (1 - signs) // 2),
            output_shape=size,
            fill_value=0.0,
            interpolation="NEAREST",
        )

    return warp


def _rotation(sign: int, height: int, width: int) -> list[float]:
    angle = math.radians(sign * DEGREES)
    cos, sin = math.cos(angle), math.sin(angle)
    x, y = width / 2, height / 2
    return [cos, -sin, x - cos * x + sin * y, sin, cos, y - sin * x - cos * y]


def _enhance(plain: Callable[[Any], Any]) -> Any:
    """Return an operation that moves away from a plain image, or towards it."""

    def enhance(images: Any, signs: Any) -> Any:
        factor = 1.0 + ENHANCEMENT * tf.cast(signs, tf.float32)
        start = plain(images)
        moved = tf.cast(images, tf.float32) - start
        moved = start + factor[:, None, None, None] * moved
        return tf.cast(tf.clip_by_value(moved, 0.0, 255.0), tf.uint8)

    return enhance


def _gray(images: Any) -> Any:
    """Return float32 (B, H, W, C) in which channels are the same."""
    whole = tf.cast(images, tf.int32)
    if images.shape[-1] == 3:
        whole = whole * np.array([19595, 38470, 7471], np.int32)
        whole = (tf.reduce_sum(whole, -1, keepdims=True) + 2**15) // 2**16
    return tf.cast(whole, tf.float32)


def _mean(images: Any) -> Any:
    mean = tf.reduce_mean(_gray(images), axis=(1, 2), keepdims=True)
    return tf.floor(mean + 0.5)


def _smooth(images: Any) -> Any:
    """Return the mean of 3x3 pixels, of which the middle one counts five."""
    values = tf.cast(images, tf.float32)
    height, width = images.shape[1:3]
    sums = sum(
        values[:, i : height - 2 + i, j : width - 2 + j]
        for i in range(3)
        for j in range(3)
    )
    smooth = tf.floor((sums + 4 * values[:, 1:-1, 1:-1]) / 13 + 0.5)
    inside = np.zeros((height, width, 1), bool)
    inside[1:-1, 1:-1] = True
    border = [[0, 0], [1, 1], [1, 1], [0, 0]]
    return tf.where(inside, tf.pad(smooth, border), values)


def _posterize(images: Any, signs: Any) -> Any:
    return tf.bitwise.bitwise_and(images, np.uint8(256 - 2 ** (8 - BITS)))


def _solarize(images: Any, signs: Any) -> Any:
    bright = tf.cast(images, tf.float32) >= THRESHOLD
    return tf.where(bright, 255 - images, images)


def _auto_contrast(images: Any, signs: Any) -> Any:
    whole = tf.cast(images, tf.int32)
    low = tf.reduce_min(whole, axis=(1, 2), keepdims=True)
    span = tf.reduce_max(whole, axis=(1, 2), keepdims=True) - low
    stretched = (whole - low) * 255 // tf.maximum(span, 1)
    return tf.where(span > 0, tf.cast(stretched, tf.uint8), images)


def _equalize(images: Any, signs: Any) -> Any:
    height, width, channels = images.shape[1:]
    planes = tf.cast(tf.transpose(images, (0, 3, 1, 2)), tf.int32)
    planes = tf.reshape(planes, (-1, height * width))
    counts = tf.math.bincount(planes, minlength=256, maxlength=256, axis=-1)
    top = tf.reduce_max(planes, axis=1, keepdims=True)
    brightest = tf.gather(counts, top, batch_dims=1)
    step = (height * width - brightest) // 255
    below = tf.cumsum(counts, axis=1, exclusive=True)
    table = tf.minimum((step // 2 + below) // tf.maximum(step, 1), 255)
    equal = tf.where(step > 0, tf.gather(table, planes, batch_dims=1), planes)
    equal = tf.reshape(equal, (-1, channels, height, width))
    return tf.cast(tf.transpose(equal, (0, 2, 3, 1)), tf.uint8)


OPERATIONS: dict[str, Callable[[Any, Any], Any]] = {
    "identity": lambda images, signs: images,
    "auto_contrast": _auto_contrast,
    "equalize": _equalize,
    "rotate": _warp(_rotation),
    "solarize": _solarize,
    "color": _enhance(_gray),
    "posterize": _posterize,
    "contrast": _enhance(_mean),
    "brightness": _enhance(lambda images: tf.zeros(())),
    "sharpness": _enhance(_smooth),
    "shear_x": _warp(lambda sign, h, w: [1, sign * SHEAR, 0, 0, 1, 0]),
    "shear_y": _warp(lambda sign, h, w: [1, 0, 0, sign * SHEAR, 1, 0]),
    "translate_x": _warp(
        lambda sign, h, w: [1, 0, sign * int(TRANSLATION * w), 0, 1, 0]
    ),
    "translate_y": _warp(
        lambda sign, h, w: [1, 0, 0, 0, 1, sign * int(TRANSLATION * h)]
    ),
}
