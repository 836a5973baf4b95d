"""The softmax or sigmoid at a model's end is taken off, weights shared."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

from keras_ft import InputError
from keras_ft import heads


def trunk():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="conv")(image)
    return image, layers.GlobalAveragePooling2D()(layers.ReLU()(x))


def option(activation="softmax", **kwargs):
    image, x = trunk()
    return keras.Model(image, layers.Dense(3, activation, **kwargs)(x))


def layer(make=layers.Softmax):
    image, x = trunk()
    return keras.Model(image, make()(layers.Dense(3)(x)))


def nested():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, option()(layers.Rescaling(2.0)(image)))


def per_pixel():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.Conv2D(4, 1, activation="softmax")(image))


def separable():
    image = keras.Input((8, 8, 3))
    last = layers.SeparableConv2D(4, 3, activation="sigmoid", use_bias=False)
    return keras.Model(image, last(image))


MODELS = {
    "option": (option, "softmax"),
    "option without bias": (lambda: option(use_bias=False), "softmax"),
    "sigmoid": (lambda: option("sigmoid"), "sigmoid"),
    "layer as option": (lambda: option(layers.Softmax()), "softmax"),
    "Softmax": (layer, "softmax"),
    "Activation": (
        lambda: layer(lambda: layers.Activation("sigmoid")),
        "sigmoid",
    ),
    "operation": (lambda: layer(lambda: ops.softmax), "softmax"),
    "function": (lambda: layer(lambda: keras.activations.sigmoid), "sigmoid"),
    "nested": (nested, "softmax"),
    "Sequential": (lambda: keras.Sequential([option()]), "softmax"),
    "per pixel": (per_pixel, "softmax"),
    "separable": (separable, "sigmoid"),
}


@pytest.fixture
def images():
    return np.random.default_rng(0).normal(size=(5, 8, 8, 3)).astype("float32")


@pytest.mark.parametrize(("make", "activation"), MODELS.values(), ids=MODELS)
def test_the_logits_are_what_the_activation_is_applied_to(
    make, activation, images
):
    model = make()
    outputs = ops.convert_to_numpy(model(images))
    config = str(model.get_config())
    assert heads.output_activations(model) == (activation,)
    bare = heads.logits_model(model)
    assert heads.output_activation(bare) is None
    logits = bare(images)
    assert float(ops.max(logits)) > 1.0 or float(ops.min(logits)) < 0.0
    np.testing.assert_array_equal(heads.activate(activation, logits), outputs)
    both = heads.logits_and_outputs(model)(images)
    np.testing.assert_array_equal(both["logits"], logits)
    np.testing.assert_array_equal(both["outputs"], outputs)
    # The same variables, and the model as it was.
    ours, theirs = ([id(v) for v in m.variables] for m in (bare, model))
    assert ours == theirs
    assert str(model.get_config()) == config
    np.testing.assert_array_equal(model(images), outputs)


def test_what_has_none_is_returned_itself():
    for make in (lambda: layer(layers.ReLU), lambda: option(None)):
        model = make()
        assert heads.output_activations(model) == (None,)
        assert heads.logits_model(model) is model
    # A softmax over the images of a batch makes no probabilities of classes.
    model = layer(lambda: layers.Softmax(axis=0))
    assert heads.logits_model(model) is model


def test_each_of_several_outputs(images):
    image, x = trunk()
    outputs = {
        "kind": layers.Dense(3, activation="softmax")(x),
        "size": layers.Dense(1)(x),
    }
    model = keras.Model(image, outputs)
    assert heads.output_activations(model) == ("softmax", None)
    logits = heads.logits_model(model)(images)
    expected = model(images)
    np.testing.assert_array_equal(ops.softmax(logits["kind"]), expected["kind"])
    np.testing.assert_array_equal(logits["size"], expected["size"])


def test_a_frozen_head_stays_frozen():
    model = option()
    model.layers[-1].trainable = False
    names = [v.path for v in heads.logits_model(model).trainable_variables]
    assert names == [v.path for v in model.trainable_variables]
    assert len(names) == 2


def test_what_cannot_be_taken_apart_is_refused():
    class Subclassed(keras.Model):
        def __init__(self):
            super().__init__()
            self.head = layers.Dense(3, activation="softmax")

        def call(self, x):
            return self.head(x)

    subclassed = Subclassed()
    subclassed(np.ones((1, 4)))
    with pytest.raises(InputError, match="subclassed.*activation=None"):
        heads.logits_model(subclassed)
    regularized = option(activity_regularizer="l2")
    with pytest.raises(InputError, match="activity regularizer"):
        heads.logits_model(regularized)
