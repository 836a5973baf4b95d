"""MixUp and CutMix against what the papers say, in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from keras_ft.data.mixing import mix

COUNT, SIZE, CLASSES = 4000, (12, 8), 5
LABELS = np.eye(CLASSES, dtype=np.float32)[np.arange(COUNT) % CLASSES]
PARTNERS = np.roll(np.arange(COUNT, dtype=np.int32), -1)


def marked() -> tuple[np.ndarray, np.ndarray]:
    """Return the share of the image itself in every pixel, and in labels.

    Images are 1 and 0 by turns, so that a mixture's pixel is the share of
    whoever is 1; the same holds for their two classes.
    """
    ones = (np.arange(COUNT) % 2 == 0).astype(np.float32)
    images = np.broadcast_to(ones[:, None, None, None], (COUNT, *SIZE, 3))
    labels = np.eye(2, dtype=np.float32)[np.arange(COUNT) % 2]
    return images, labels


def shares(*kinds: str) -> tuple[np.ndarray, np.ndarray]:
    images, labels = marked()
    mixed, rows = mix(images, labels, PARTNERS, (7, 9), kinds)
    first = np.arange(COUNT) % 2 == 0
    pixels = np.where(first[:, None, None], mixed[..., 0], 1 - mixed[..., 0])
    return pixels, np.where(first, rows[:, 0], rows[:, 1])


@pytest.mark.parametrize("kinds", [("mixup",), ("cutmix",)])
def test_images_and_labels_are_mixed_in_one_proportion(kinds) -> None:
    rng = np.random.default_rng(0)
    images = rng.normal(size=(COUNT, *SIZE, 3)).astype(np.float32)
    mixed, rows = mix(images, LABELS, PARTNERS, (7, 9), kinds)
    pixels, kept = shares(*kinds)
    own, others = pixels[..., None], images[PARTNERS]
    np.testing.assert_allclose(
        mixed, own * images + (1 - own) * others, atol=1e-5
    )
    expected = kept[:, None] * LABELS + (1 - kept[:, None]) * LABELS[PARTNERS]
    np.testing.assert_allclose(rows, expected, atol=1e-6)
    np.testing.assert_allclose(np.sum(rows, axis=1), 1, atol=1e-6)


def test_mixup_draws_one_uniform_share_per_image() -> None:
    pixels, kept = shares("mixup")
    assert np.ptp(pixels, axis=(1, 2)).max() < 1e-6
    np.testing.assert_allclose(pixels[:, 0, 0], kept, atol=1e-6)
    # Beta(1, 1), whose quantiles are the shares themselves.
    found = np.quantile(kept, [0.1, 0.5, 0.9])
    np.testing.assert_allclose(found, [0.1, 0.5, 0.9], atol=0.03)


def test_cutmix_pastes_a_box_and_counts_its_pixels() -> None:
    pixels, kept = shares("cutmix")
    assert set(np.unique(pixels)) == {0.0, 1.0}
    np.testing.assert_allclose(pixels.mean((1, 2)), kept, atol=1e-6)
    rows, columns = (pixels == 0).any(2), (pixels == 0).any(1)
    box = rows[:, :, None] & columns[:, None, :]
    np.testing.assert_array_equal(box, pixels == 0)
    for sides in (rows, columns):
        # In one piece.
        assert np.abs(np.diff(sides.astype(int), axis=1)).sum(1).max() <= 2
    # Whole boxes have half of the area on average; what is left of those that
    # reach beyond the border, by the paper's own procedure:
    rng = np.random.default_rng(0)
    side = np.sqrt(1 - rng.uniform(size=COUNT))
    area = np.ones(COUNT)
    for _ in "xy":
        center = rng.uniform(size=COUNT)
        low, high = center - side / 2, center + side / 2
        area *= np.clip(high, 0, 1) - np.clip(low, 0, 1)
    assert abs((1 - kept).mean() - area.mean()) < 0.03


def test_both_is_either_for_each_image() -> None:
    both, _ = shares("mixup", "cutmix")
    added = shares("mixup")[0]
    pasted = shares("cutmix")[0]
    of_one = np.isclose(both, added).all((1, 2))
    of_other = (both == pasted).all((1, 2))
    assert np.all(of_one | of_other)
    assert abs(of_one.mean() - 0.5) < 0.05


def test_its_own_partner_stays_as_it_is() -> None:
    images, _ = marked()
    mixed, rows = mix(
        images, LABELS, np.arange(COUNT, dtype=np.int32), (1, 2), ("mixup",)
    )
    np.testing.assert_allclose(mixed, images, atol=1e-6)
    np.testing.assert_allclose(rows, LABELS, atol=1e-6)


def test_the_seed_decides_and_graphs_agree() -> None:
    images, labels = marked()
    kinds = ("mixup", "cutmix")
    first = mix(images, labels, PARTNERS, (1, 2), kinds)[0]
    compute = tf.function(
        lambda seed: mix(images, labels, PARTNERS, seed, kinds)[0]
    )
    np.testing.assert_array_equal(first, compute(tf.constant((1, 2))))
    other = mix(images, labels, PARTNERS, (1, 3), kinds)[0]
    assert np.any(first != other)
