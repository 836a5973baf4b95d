import numpy as np
import pytest

from keras_ft.export import RepresentativeDataError
from keras_ft.export.representative_data import pixel_images

SHAPE = (16, 16, 3)


@pytest.mark.parametrize(
    "given",
    [
        lambda images: images,
        lambda images: images.astype(np.float64),
        lambda images: list(images),
        lambda images: (image for image in images),
        lambda images: lambda: iter(images),
        lambda images: [images[:20], images[20:]],
        lambda images: [(images, np.zeros(48))],
        lambda images: [[image[np.newaxis]] for image in images],
    ],
    ids=[
        "array",
        "float64",
        "list",
        "generator",
        "callable",
        "batches",
        "labelled batches",
        "as TensorFlow's representative_dataset",
    ],
)
def test_every_usual_form_gives_the_same_pixels(images, given, normalization):
    pixels = pixel_images(
        "samples", given(images), SHAPE, normalization.scale_and_shift()
    )
    assert pixels.dtype == np.float32
    np.testing.assert_array_equal(pixels, images)


def test_a_dataset_of_floats_is_taken_back_to_pixels(images, normalization):
    import tensorflow as tf

    scale, shift = normalization.scale_and_shift()
    dataset = tf.data.Dataset.from_tensor_slices(images * scale + shift)
    for shaped in (dataset, dataset.batch(7)):
        pixels = pixel_images("samples", shaped, SHAPE, (scale, shift))
        np.testing.assert_allclose(pixels, images, atol=1e-4)


def test_a_dataset_of_uint8_holds_pixels(images, normalization):
    import tensorflow as tf

    dataset = tf.data.Dataset.from_tensor_slices(images).batch(16)
    pixels = pixel_images(
        "samples", dataset, SHAPE, normalization.scale_and_shift()
    )
    np.testing.assert_array_equal(pixels, images)


def test_an_endless_source_is_cut_off(images):
    def endless():
        while True:
            yield images

    assert len(pixel_images("samples", endless, SHAPE, None)) == 512


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda images: images[:10], "10 images"),
        (lambda images: images[:0], "0 images"),
        (lambda images: iter(()), "0 images"),
        (lambda images: 3, "not iterable"),
        (lambda images: [images[:40], images[:, :8]], "same shape"),
        (lambda images: np.full(images.shape, np.nan), "NaN .* 48 images"),
        (lambda images: np.zeros_like(images), "one value"),
        (lambda images: images / 255.0, "Multiply them by 255"),
        (lambda images: images / 127.5 - 1, "before normalization"),
        (lambda images: images * 2.0, "before normalization"),
        (lambda images: images[:, :8], r"shape \(8, 16, 3\)"),
        (lambda images: images[..., 0], r"shape \(16, 16\)"),
        (lambda images: images > 100, "dtype bool"),
        (lambda images: images.astype(str), "dtype <U"),
    ],
)
def test_worthless_images_are_refused(images, spoil, message):
    with pytest.raises(RepresentativeDataError, match=message) as caught:
        pixel_images("calibration", spoil(images), SHAPE, None)
    assert caught.value.argument == "calibration"
    assert "32 images" in caught.value.expected


def test_normalized_training_data_needs_its_normalization(
    images, normalization
):
    import tensorflow as tf

    scale, shift = normalization.scale_and_shift()
    dataset = tf.data.Dataset.from_tensors(images * scale + shift)
    with pytest.raises(RepresentativeDataError, match="pass `normalization`"):
        pixel_images("calibration", dataset, SHAPE, None)
