"""Students that answer per place: segmentation and detection."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import InputError
from keras_ft import transfers

ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0, "epochs": 3}
SPARSE = keras.losses.SparseCategoricalCrossentropy
VOID = 255
# XLA fuses the two differently.
ROUNDING = 0 if keras.backend.backend() == "tensorflow" else 1e-6


def trunk():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, strides=2, padding="same", name="conv")(image)
    x = layers.BatchNormalization()(x)
    return image, layers.ReLU(name="features")(x)


def segmenter():
    """(8, 8, 3) -> a score for each of 4 classes at each pixel."""
    image, x = trunk()
    x = layers.Conv2DTranspose(4, 4, strides=2, padding="same")(x)
    x = layers.Concatenate()([x, image])
    return keras.Model(image, layers.Conv2D(4, 1, name="head")(x))


def detector(kind):
    """(8, 8, 3) -> boxes and scores of 5 classes at 4x4 places."""
    image, x = trunk()
    boxes = layers.Conv2D(4, 1, name="boxes")(x)
    # Keras sorts dictionaries by key: the second output comes first.
    scores = layers.Conv2D(5, 1, name="a")(x)
    outputs = {"boxes": boxes, "a": scores} if kind is dict else [boxes, scores]
    return keras.Model(image, outputs)


@pytest.fixture
def pixels():
    """A class for each pixel of the images of `batch`."""
    labels = np.random.default_rng(1).integers(0, 4, (24, 8, 8))
    return labels.astype("int32")


@pytest.fixture
def places():
    """Boxes and classes for each place of a detector."""
    rng = np.random.default_rng(2)
    boxes = rng.normal(size=(24, 4, 4, 4)).astype("float32")
    return boxes, rng.integers(0, 5, (24, 4, 4)).astype("int32")


@pytest.fixture
def both(build, compiled, batch, values, close):
    """Asserts that beta=0 is the student alone; returns the wrapper."""

    def train(student, labels, fitting=None, **compiling):
        alone = keras.models.clone_model(student)
        alone.set_weights(student.get_weights())
        before = values(student)
        wrapper = build(student, beta=0.0, acceleration="none")
        logs = []
        for model in (alone, wrapper):
            # Copies: a loss or metric belongs to one model.
            clone = keras.saving.deserialize_keras_object
            own = {
                key: clone(keras.saving.serialize_keras_object(value))
                for key, value in compiling.items()
            }
            compiled(model, **own)
            history = model.fit(
                batch[0], labels, **ARGUMENTS, **(fitting or {})
            )
            logs.append(history.history)
        close(values(alone), values(student), atol=ROUNDING)
        assert not np.array_equal(before[0], values(student)[0])
        for name, found in logs[0].items():
            assert found == pytest.approx(logs[1][name], rel=100 * ROUNDING)
        assert logs[1]["factor_loss"][0] > 0
        return wrapper, logs[1]

    return train


@pytest.mark.cell("a class per pixel")
# MeanIoU on JAX.
@pytest.mark.filterwarnings("ignore:Explicitly requested dtype:UserWarning")
def test_a_class_per_pixel(both, pixels, batch):
    metric = keras.metrics.MeanIoU(4, sparse_y_pred=False, name="iou")
    wrapper, logs = both(segmenter(), pixels, metrics=[metric])
    assert 0 < logs["iou"][-1] < 1
    assert wrapper.predict(batch[0], verbose=0).shape == (24, 8, 8, 4)


@pytest.mark.cell("a class per pixel")
def test_a_class_per_pixel_with_an_axis_of_its_own(both, pixels):
    both(segmenter(), pixels[..., None])


def test_weights_per_pixel(both, pixels, build, compiled, batch):
    weights = np.random.default_rng(3).uniform(size=pixels.shape)
    weights = weights.astype("float32")
    both(segmenter(), pixels, {"sample_weight": weights})
    # The factor is the whole image's, and so is its weight: the mean.
    model = compiled(build(segmenter()))
    factor = {
        shape: model.evaluate(
            batch[0], pixels, sample_weight=w, return_dict=True, verbose=0
        )["factor_loss"]
        for shape, w in (
            ("per pixel", weights),
            ("per image", weights.mean(axis=(1, 2), keepdims=True)),
            ("none", np.ones_like(weights)),
        )
    }
    assert factor["per pixel"] == pytest.approx(factor["per image"], rel=1e-5)
    assert factor["per pixel"] < 0.7 * factor["none"]


def test_pixels_of_no_class_are_left_out(both, pixels):
    pixels[:, :2] = VOID
    loss = SPARSE(from_logits=True, ignore_class=VOID)
    _, logs = both(segmenter(), pixels, loss=loss)
    assert np.all(np.isfinite(logs["loss"]))


@pytest.mark.cell("several outputs")
@pytest.mark.parametrize(
    ("kind", "loss_by"),
    [
        (list, list),
        pytest.param(dict, dict, marks=pytest.mark.long),
        pytest.param(list, dict, marks=pytest.mark.long),
        pytest.param(dict, list, marks=pytest.mark.long),
    ],
)
def test_several_outputs_keep_their_losses(
    both, places, batch, kind, loss_by, values, same, tmp_path
):
    boxes, classes = places
    loss = {"boxes": keras.losses.Huber(), "a": SPARSE(from_logits=True)}
    if loss_by is list:
        names = ["a", "boxes"] if kind is dict else ["boxes", "a"]
        loss = [loss[name] for name in names]
    labels = (
        {"boxes": boxes, "a": classes} if kind is dict else [boxes, classes]
    )
    wrapper, logs = both(detector(kind), labels, loss=loss)
    assert logs["boxes_loss"][-1] < logs["boxes_loss"][0]
    outputs = wrapper.predict(batch[0], verbose=0)
    assert isinstance(outputs, kind)
    found = (
        [outputs[key] for key in ("boxes", "a")] if kind is dict else outputs
    )
    assert [o.shape[1:] for o in found] == [(4, 4, 4), (4, 4, 5)]
    wrapper.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    same(values(wrapper), values(loaded))


def test_several_outputs_are_no_soft_targets(network):
    kd = transfers.SoftTargets()
    with pytest.raises(InputError, match="which has 2 outputs") as caught:
        Distiller(network(8), detector(list), [kd])
    assert caught.value.argument == "student"


def one_hot(labels):
    return np.eye(4, dtype="float32")[labels]


@pytest.mark.parametrize(
    ("change", "loss", "message"),
    [
        (one_hot, SPARSE(from_logits=True), r"indices of shape \(batch, 8, 8"),
        (lambda y: y[:, ::2], SPARSE(from_logits=True), r"\(24, 4, 8\) for"),
        (lambda y: y[:, 0, 0], SPARSE(from_logits=True), r"\(24,\) for out"),
        (lambda y: y + 1, SPARSE(from_logits=True), "labels from 1 to 4"),
        (
            lambda y: np.where(y == 0, 254, VOID),
            SPARSE(from_logits=True, ignore_class=VOID),
            "labels from 254 to 254",
        ),
        (lambda y: y, SPARSE(), "a loss on probabilities"),
        (
            lambda y: y,
            keras.losses.CategoricalCrossentropy(from_logits=True),
            r"one-hot labels of shape \(batch, 8, 8, 4\)",
        ),
    ],
)
def test_labels_that_do_not_fit_are_explained(
    build, compiled, batch, pixels, change, loss, message
):
    model = compiled(build(segmenter()), loss=loss)
    with pytest.raises(InputError, match=message):
        model.fit(batch[0], change(pixels), **ARGUMENTS)


def test_images_of_any_size(paraphraser, compiled, batch, pixels):
    def convolutional(channels):
        image = keras.Input((None, None, 3))
        x = layers.Conv2D(channels, 3, padding="same")(image)
        x = layers.ReLU(name="features")(x)
        return keras.Model(image, layers.Conv2D(4, 1)(x))

    teacher, student = convolutional(8), convolutional(4)
    model = compiled(
        FactorTransfer(
            teacher, student, paraphraser, also=[transfers.AttentionTransfer()]
        )
    )
    logs = model.fit(batch[0], pixels, **ARGUMENTS).history
    assert logs["factor_loss"][-1] < logs["factor_loss"][0]
    assert logs["attention_loss"][-1] > 0
