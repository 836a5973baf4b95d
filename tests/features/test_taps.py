"""Taps of flat, nested, sequential and unusable models."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import InputError
from keras_ft import taps
from keras_ft import zoo
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap


def nested_model():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(image)
    backbone = keras.Model(image, layers.ReLU(name="relu")(x), name="backbone")
    image = keras.Input((16, 16, 3))
    x = backbone(layers.Rescaling(2.0, name="rescale")(image))
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(image, layers.Dense(4)(x), name="outer")


def test_the_default_of_a_resnet_is_its_last_group_after_relu():
    table = taps(zoo.resnet20(classes=10, input_shape=(32, 32, 3)))
    default = [tap for tap in table if tap.default]
    assert [tap.name for tap in default] == ["stage3"]
    assert default[0].shape == (8, 8, 64)
    assert default[0].stride == 4
    printed = str(table)
    assert "stage3" in printed and "<- default" in printed


def test_a_map_of_one_position_or_an_output_is_no_default():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, name="features")(image)
    pooled = layers.GlobalAveragePooling2D(keepdims=True, name="pooled")(x)
    model = keras.Model(image, pooled)
    assert find_tap(model, None, "tap").name == "features"
    mask = layers.Conv2D(2, 1, name="mask")(x)
    assert find_tap(keras.Model(image, mask), None, "tap").name == "features"


def test_layers_inside_a_nested_backbone_are_found_and_viewed():
    model = nested_model()
    assert [tap.name for tap in taps(model)] == [
        "rescale",
        "backbone/conv",
        "backbone/relu",
    ]
    chosen = [
        find_tap(model, None, "tap"),
        find_tap(model, "backbone/conv", "tap"),
    ]
    assert chosen[0].name == "backbone/relu"
    images = np.random.default_rng(0).normal(size=(2, 16, 16, 3))
    relu, conv, outputs = feature_extractor(model, chosen)(images)
    np.testing.assert_array_equal(relu, np.maximum(conv, 0))
    np.testing.assert_array_equal(outputs, model(images))
    shared = {id(v) for v in model.variables}
    assert {id(v) for v in feature_extractor(model, chosen).variables} == shared


def test_a_sequential_model_around_a_backbone_is_viewed():
    backbone = nested_model().get_layer("backbone")
    model = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            backbone,
            layers.GlobalAveragePooling2D(),
            layers.Dense(2),
        ]
    )
    images = np.ones((1, 16, 16, 3), "float32")
    features, outputs = feature_extractor(
        model, [find_tap(model, None, "tap")]
    )(images)
    assert features.shape == (1, 16, 16, 8)
    np.testing.assert_array_equal(outputs, model(images))


def test_viewing_leaves_the_model_as_it_was(tmp_path):
    model = nested_model()
    before = model.to_json()
    feature_extractor(model, [find_tap(model, None, "tap")])
    assert model.to_json() == before
    assert find_tap(model, None, "tap").name == "backbone/relu"


def test_unknown_names_are_answered_with_near_misses():
    with pytest.raises(InputError) as caught:
        find_tap(nested_model(), "backbone/rellu", "teacher_layer_name")
    message = str(caught.value)
    assert "teacher_layer_name" in message
    assert "Did you mean 'backbone/relu'" in message
    assert "rescale, backbone/conv, backbone/relu" in message


def test_a_layer_called_twice_is_ambiguous():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same", name="twice")
    model = keras.Model(image, layers.ReLU(name="relu")(conv(conv(image))))
    with pytest.raises(InputError, match="called 2 times"):
        find_tap(model, "twice", "student_layer_name")


def test_models_without_a_graph_are_refused():
    class Subclassed(keras.Model):
        def call(self, x):
            return x

    for model, message in (
        (Subclassed(), "no graph"),
        (keras.Sequential([layers.Dense(1)]), "never built"),
        ("resnet", "a str"),
    ):
        with pytest.raises(InputError, match=message):
            taps(model)


def test_a_model_without_feature_maps_is_refused():
    model = keras.Sequential([keras.Input((4,)), layers.Dense(2)])
    with pytest.raises(InputError, match="no spatial feature map"):
        find_tap(model, None, "teacher_layer_name")
