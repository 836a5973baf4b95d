"""The images that a folded network is tried on have its real value range."""

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.acceleration import check_images
from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.models import teacher_pass

layers = keras.layers
IMAGENET = {"mean": [0.485, 0.456, 0.406], "variance": [0.05, 0.05, 0.05]}


def network(*first, nested=False):
    image = keras.Input((8, 8, 3))
    x = image
    for layer in first:
        x = layer(x)
    if nested:
        x = keras.Model(image, x)(keras.layers.RandomFlip()(image))
    x = layers.Conv2D(4, 3, activation="relu")(x)
    return keras.Model(image, layers.GlobalAveragePooling2D()(x))


def trained_norm(x):
    norm = layers.BatchNormalization()
    x = norm(x)
    norm.moving_mean.assign([120.0] * 3)
    norm.moving_variance.assign([3600.0] * 3)
    return x


def caffe(x):
    return keras.applications.resnet.preprocess_input(x)


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ([], "standard"),
        ([layers.Rescaling(1 / 255)], "pixels"),
        ([layers.Rescaling(1 / 127.5, -1.0)], "pixels"),
        ([layers.RandomFlip(), layers.Rescaling(1 / 255)], "pixels"),
        ([lambda x: x / 127.5 - 1.0], "pixels"),
        ([caffe], "pixels"),
        ([trained_norm], "pixels"),
        (
            [layers.Normalization(mean=[120.0] * 3, variance=[3600.0] * 3)],
            "pixels",
        ),
        (
            [layers.Rescaling(1 / 255), layers.Normalization(**IMAGENET)],
            "pixels",
        ),
        ([layers.Rescaling(2.0, -1.0)], "unit"),
        ([layers.Normalization(**IMAGENET)], "unit"),
        ([layers.ZeroPadding2D(0)], "standard"),
    ],
)
def test_the_range_is_what_the_preprocessing_expects(first, expected, nested):
    if nested and not first:
        return
    (drawn,) = check_images.draw(FlatGraph(network(*first, nested=nested)))
    assert drawn.shape == (4, 8, 8, 3) and drawn.dtype == "float32"
    found = "standard"
    if drawn.min() >= 0:
        found = "pixels" if drawn.max() > 1 else "unit"
    assert found == expected
    if expected == "pixels":
        np.testing.assert_array_equal(drawn, np.rint(drawn))
        assert drawn.max() <= 255 and drawn.max() > 200


class Clipped(layers.Layer):
    """Forgets its limit when it is copied."""

    limit = 10.0

    def call(self, x):
        return keras.ops.minimum(x, self.limit)


def test_what_differs_only_in_the_real_range_is_refused():
    clipped = Clipped()
    clipped.limit = 0.5
    with pytest.raises(NotFoldableError, match="on random images"):
        fold(network(layers.Rescaling(1 / 255), clipped))
    # Normal numbers, rescaled, would not have reached 0.5.
    clipped.limit = 5.0
    fold(network(layers.Rescaling(1 / 255), clipped))


def test_the_users_images_are_used_where_they_are_an_array(monkeypatch):
    clipped = Clipped()
    clipped.limit = 5.0
    teacher = network(layers.Rescaling(1 / 255), clipped)
    bright = np.full((3, 8, 8, 3), 2550, "int32")
    with pytest.raises(NotFoldableError, match="on your images"):
        fold(teacher, images=bright)
    for images, said in (
        (bright, "as it is: output 0 in float32 differs from the original's "),
        (bright / 10, "batch normalization folded, float32"),
    ):
        monkeypatch.setattr(teacher_pass, "gains_from_bfloat16", lambda: False)
        model = keras_ft.ParaphraserTrainer(teacher, keras_ft.Paraphraser(0.5))
        model.compile("sgd", run_eagerly=True)
        model.evaluate(images.astype("float32"), verbose=0)
        assert model.accelerated["teacher"].startswith(said)


class Raised(layers.Layer):
    """Computes what bfloat16 has no digits for."""

    def call(self, x):
        return (x + 1e4) - 1e4


def test_what_bfloat16_cannot_is_folded_in_float32(monkeypatch, caplog):
    monkeypatch.setattr(teacher_pass, "gains_from_bfloat16", lambda: True)
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    x = layers.ReLU()(Raised()(layers.BatchNormalization()(x)))
    teacher = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    model = keras_ft.ParaphraserTrainer(teacher, keras_ft.Paraphraser(0.5))
    model.compile("sgd", run_eagerly=True)
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 3))
    for _ in range(2):  # the second time it only gets the weights anew
        model.evaluate(images, verbose=0)
        said = model.accelerated["teacher"]
        assert said.startswith(
            "batch normalization folded, float32; output 0 in bfloat16 "
            "differs from the original's on your images: cosine "
        )
    assert "as it is" not in caplog.text
