"""Pad-crop-flip against a plain loop."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ft.data import augment


def random_images(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def one_by_one(
    images: np.ndarray, views: augment.Views, padding: int
) -> np.ndarray:
    """The definition: one image after the other."""
    count, height, width, _ = images.shape
    result = np.empty_like(images)
    for i in range(count):
        row, column = int(views.rows[i]), int(views.columns[i])
        padded = np.pad(
            images[i], ((padding, padding), (padding, padding), (0, 0))
        )
        crop = padded[row : row + height, column : column + width]
        result[i] = crop[:, ::-1] if views.flips[i] else crop
    return result


@pytest.mark.parametrize("shape", [(64, 28, 28, 1), (33, 12, 9, 3)])
@pytest.mark.parametrize("padding", [0, 4])
def test_equals_the_plain_loop(shape: tuple[int, ...], padding: int) -> None:
    images = random_images(*shape)
    views = augment.draw_views(len(images), (3, 5), padding)
    views = augment.Views(*(part.numpy() for part in views))
    expected = one_by_one(images, views, padding)
    found = augment.pad_crop_flip(tf.constant(images), (3, 5), padding)
    assert found.dtype == tf.uint8
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(("crop", "flip"), [(True, False), (False, True)])
def test_crops_and_flips_come_alone_too(crop: bool, flip: bool) -> None:
    images = random_images(64, 12, 9, 3)
    drawn = augment.draw_views(len(images), (3, 5))
    rows, columns, flips = (part.numpy() for part in drawn)
    if crop:
        views = augment.Views(rows, columns, 0 * flips)
    else:
        views = augment.Views(0 * rows + 4, 0 * columns + 4, flips)
    found = augment.pad_crop_flip(
        tf.constant(images), (3, 5), crop=crop, flip=flip
    )
    np.testing.assert_array_equal(found, one_by_one(images, views, 4))
    if flip:
        mirrored = images[:, :, ::-1]
        assert np.any(np.all(found == images, axis=(1, 2, 3)))
        assert np.any(np.all(found == mirrored, axis=(1, 2, 3)))


@pytest.mark.parametrize(
    ("shape", "padding"),
    [
        ((8, 8, 3), 4),
        ((28, 28, 1), 4),
        ((32, 32, 3), 4),
        ((224, 224, 3), 28),
        ((64, 100, 3), 8),
    ],
)
def test_padding_is_four_of_thirty_two(
    shape: tuple[int, ...], padding: int
) -> None:
    assert augment.padding_for(shape) == padding


def test_every_one_of_the_162_views_is_right() -> None:
    offsets = np.arange(162, dtype=np.int32)
    views = augment.Views(offsets // 18, offsets // 2 % 9, offsets % 2)
    images = np.repeat(random_images(1, 8, 8, 3), 162, axis=0)
    found = augment.apply_views(tf.constant(images), views).numpy()
    np.testing.assert_array_equal(found, one_by_one(images, views, 4))
    assert len(np.unique(found.reshape(162, -1), axis=0)) == 162


def test_views_cover_their_range_evenly() -> None:
    views = augment.draw_views(16_200, (0, 0))
    number = views.rows * 18 + views.columns * 2 + views.flips
    counts = np.bincount(number.numpy(), minlength=162)
    assert len(counts) == 162
    # 100 expected each; chi-squared with 161 degrees of freedom has mean 161
    # and deviation 18, so 250 is five deviations away.
    assert ((counts - 100) ** 2 / 100).sum() < 250


def test_same_seed_same_views_other_seed_others() -> None:
    images = tf.constant(random_images(32, 16, 16, 3))
    first = augment.pad_crop_flip(images, (1, 2))
    np.testing.assert_array_equal(first, augment.pad_crop_flip(images, (1, 2)))
    for other in ((1, 3), (2, 2)):
        assert np.any(first != augment.pad_crop_flip(images, other))


def test_equal_eagerly_and_inside_a_dataset() -> None:
    images = random_images(32, 16, 16, 3)
    seeds = np.array([[1, 2], [3, 4]], np.int64)
    mapped = tf.data.Dataset.from_tensor_slices(seeds).map(
        lambda seed: augment.pad_crop_flip(tf.constant(images), seed)
    )
    for seed, found in zip(seeds, mapped, strict=True):
        eager = augment.pad_crop_flip(tf.constant(images), seed)
        np.testing.assert_array_equal(found, eager)
