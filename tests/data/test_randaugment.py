"""RandAugment's operations against Pillow's, and when they are drawn."""

from typing import Any

import numpy as np
import PIL.Image
import PIL.ImageEnhance
import PIL.ImageOps
import pytest
import tensorflow as tf

from keras_ft.data import fashion_mini
from keras_ft.data import randaugment

NAMES = list(randaugment.OPERATIONS)


def photos(channels: int, height: int = 28) -> np.ndarray:
    """Return real images (8, height, 28, channels), channels unlike."""
    images = fashion_mini.read()["test_images"][: 8 * channels]
    images = images.reshape(8, channels, 28, 28).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images[:, :height])


def by_pillow(name: str, image: np.ndarray, sign: int) -> np.ndarray:
    """Return what the operation makes of one image, by another library."""
    height, width, channels = image.shape
    picture = PIL.Image.fromarray(image[..., 0] if channels == 1 else image)
    shear, factor = sign * 0.09, 1 + sign * 0.27
    right, down = (sign * int(45 / 331 * side) for side in (width, height))
    matrices = {
        "shear_x": (1, shear, 0, 0, 1, 0),
        "shear_y": (1, 0, 0, shear, 1, 0),
        "translate_x": (1, 0, right, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, down),
    }
    enhancers = {
        "color": PIL.ImageEnhance.Color,
        "contrast": PIL.ImageEnhance.Contrast,
        "brightness": PIL.ImageEnhance.Brightness,
        "sharpness": PIL.ImageEnhance.Sharpness,
    }
    if name in matrices:
        made = picture.transform(
            picture.size, PIL.Image.Transform.AFFINE, matrices[name]
        )
    elif name in enhancers:
        made = enhancers[name](picture).enhance(factor)
    else:
        made = {
            "identity": lambda: picture,
            "auto_contrast": lambda: PIL.ImageOps.autocontrast(picture),
            "equalize": lambda: PIL.ImageOps.equalize(picture),
            "rotate": lambda: picture.rotate(sign * 9),
            "solarize": lambda: PIL.ImageOps.solarize(picture, 178.5),
            "posterize": lambda: PIL.ImageOps.posterize(picture, 7),
        }[name]()
    return np.asarray(made).reshape(image.shape)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("name", NAMES)
def test_an_operation_is_pillows(name: str, sign: int, channels: int) -> None:
    images = photos(channels, height=26)
    found = randaugment.OPERATIONS[name](
        tf.constant(images), tf.fill((8,), sign)
    ).numpy()
    assert found.dtype == np.uint8 and found.shape == images.shape
    expected = np.stack([by_pillow(name, i, sign) for i in images])
    np.testing.assert_array_equal(found, expected)
    # Gray has no color, and one operation is to change nothing.
    unchanged = ["identity"] + ["color"] * (channels == 1)
    assert (name in unchanged) == np.array_equal(found, images)


def test_there_are_the_papers_operations() -> None:
    # Cubuk et al. 2020, section 3.
    assert len(NAMES) == len(set(NAMES)) == 14


def test_constant_images_stay_whole() -> None:
    for value in (0, 7, 255):
        images = tf.fill((2, 8, 8, 3), np.uint8(value))
        for name in ("auto_contrast", "equalize", "sharpness", "color"):
            found = randaugment.OPERATIONS[name](images, tf.constant([1, -1]))
            np.testing.assert_array_equal(found, images)


def test_every_image_gets_its_own_operation() -> None:
    images = photos(1)
    drawn = np.array([4, 4, 0, 13, 7, 9, 3, 12], np.int32)
    signs = np.array([1, -1, 1, -1, 1, -1, -1, 1], np.int32)
    found = randaugment.apply(tf.constant(images), drawn, signs).numpy()
    for place, (number, sign) in enumerate(zip(drawn, signs, strict=True)):
        np.testing.assert_array_equal(
            found[place], by_pillow(NAMES[number], images[place], int(sign))
        )


def test_operations_are_drawn_evenly(monkeypatch: Any) -> None:
    drawn = []

    def note(images: Any, operations: Any, signs: Any) -> Any:
        drawn.append((operations.numpy(), signs.numpy()))
        return images

    monkeypatch.setattr(randaugment, "apply", note)
    randaugment.randaugment(tf.zeros((14_000, 1, 1, 1), tf.uint8), (3, 4))
    assert len(drawn) == 2
    assert np.any(drawn[0][0] != drawn[1][0])
    for operations, signs in drawn:
        # 1,000 of each on average, with a deviation of 30.
        assert np.all(np.abs(np.bincount(operations) - 1000) < 150)
        assert abs(signs.mean()) < 0.05 and set(signs) == {-1, 1}


def test_the_seed_decides_and_graphs_agree() -> None:
    images = tf.constant(photos(3))
    compute = tf.function(lambda seed: randaugment.randaugment(images, seed))
    first = randaugment.randaugment(images, (1, 2))
    assert first.shape == images.shape
    np.testing.assert_array_equal(first, compute(tf.constant((1, 2))))
    for other in ((1, 3), (2, 2)):
        assert np.any(first != randaugment.randaugment(images, other))
