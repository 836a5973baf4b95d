"""A transformer's tokens, seen as the map of their patches."""

import keras
import numpy as np
import pytest
from keras import layers
from keras import ops

import keras_ft
from keras_ft import InputError
from keras_ft import taps
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.grids import TokensToMap
from keras_ft.features.taps import find_tap


def images(count=3, shape=(16, 16, 3)):
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (count, *shape)).astype("float32")


@pytest.mark.parametrize("extra", [0, 1, 5])
def test_tokens_are_maps_without_those_of_no_place(vit, extra):
    model = vit(extra)
    tap = find_tap(model, None, "teacher_layer")
    assert (tap.name, tap.shape, tap.stride) == ("norm", (4, 4, 8), 4)
    assert tap.tokens == (extra, 16 + extra)
    features, outputs = feature_extractor(model, [tap])(images())
    tokens = keras.Model(model.inputs[0], model.get_layer("norm").output)
    expected = np.asarray(tokens(images()))[:, extra:].reshape(3, 4, 4, 8)
    np.testing.assert_array_equal(features, expected)
    np.testing.assert_array_equal(outputs, model(images()))


def test_the_table_says_which_tokens(vit):
    table = str(taps(vit(1)))
    assert (
        "norm                                              4x4x8      4  "
        "LayerNormalization, tokens 1 to 16 of 17  <- default"
    ) in table
    assert "tokens                                            4x4x8" in table
    assert "Reshape, tokens 0 to 15\n" in table
    # Neither the class token nor what the head makes of it is a map.
    assert "get_item" not in table and "head" not in table


def test_an_image_that_is_not_square(vit):
    tap = find_tap(vit(1, (16, 24, 3)), None, "teacher_layer")
    assert (tap.shape, tap.tokens) == ((4, 6, 8), (1, 25))


def test_extra_tokens_are_set_aside_wherever_they_are():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 4, strides=4)(image)
    x = layers.Reshape((16, 8))(x)
    start, end = (layers.Dense(8)(x[:, :n]) for n in (1, 3))
    joined = layers.Concatenate(axis=1, name="joined")([start, x, end])
    x = layers.Dense(8, name="last", activation="gelu")(joined)
    model = keras.Model(image, layers.Dense(2)(x[:, 0]))
    assert find_tap(model, "joined", "").tokens == (1, 20)
    assert find_tap(model, None, "").tokens == (1, 20)
    # Cut off again, and joined along the channels.
    patches = layers.LayerNormalization(name="cut")(x[:, 1:17])
    wide = layers.Concatenate(name="wide")([patches, patches])
    model = keras.Model(image, layers.Dense(2)(wide[:, 0]))
    assert find_tap(model, "cut", "").tokens == (0, 16)
    assert find_tap(model, "wide", "").shape == (4, 4, 16)


class Patches(layers.Layer):
    """Cuts patches by itself, as the ViT of Keras' examples does."""

    def call(self, x):
        patches = ops.image.extract_patches(x, 4)
        return ops.reshape(patches, (-1, 16, 48))


def attention_of_operations(x, heads, channels=16):
    """As many write it, from a Dense layer and operations."""
    count = x.shape[1]
    x = layers.Dense(3 * channels)(x)
    x = ops.reshape(x, (-1, count, 3, heads, channels // heads))
    q, k, v = (ops.transpose(x[:, :, i], (0, 2, 1, 3)) for i in range(3))
    scores = ops.softmax(ops.matmul(q, ops.transpose(k, (0, 1, 3, 2))) / 2.0)
    x = ops.transpose(ops.matmul(scores, v), (0, 2, 1, 3))
    return ops.reshape(x, (-1, count, channels))


# With 16 heads the matrices have the shape of a square map, enlarged.
@pytest.mark.parametrize("heads", [2, 16])
def test_attention_is_no_feature_map(heads):
    image = keras.Input((16, 16, 3))
    x = layers.Dense(16, name="embedding")(Patches(name="patches")(image))
    x = layers.Add(name="sum")([x, attention_of_operations(x, heads)])
    _, scores = layers.MultiHeadAttention(heads, 4, name="attention")(
        x, x, return_attention_scores=True
    )
    seen = layers.Dense(4)(layers.Flatten()(scores))
    x = layers.GlobalAveragePooling1D()(x)
    model = keras.Model(image, layers.Dense(4)(layers.Concatenate()([x, seen])))
    table = taps(model)
    assert {tap.shape[:2] for tap in table} == {(4, 4)}
    assert not [tap.name for tap in table if "softmax" in tap.name]
    assert find_tap(model, None, "").name == "sum"
    with pytest.raises(InputError, match="no feature map of"):
        find_tap(model, "attention", "teacher_layer")


def test_tokens_that_become_a_map_again():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(8, 4, strides=4, name="patches")(image)
    tokens = layers.Dense(8, name="dense")(layers.Reshape((16, 8))(x))
    x = layers.Reshape((4, 4, 8), name="map")(tokens)
    x = layers.Conv2D(8, 3, padding="same", name="last", activation="relu")(x)
    model = keras.Model(image, layers.GlobalAveragePooling2D()(x))
    assert find_tap(model, None, "").name == "last"
    assert [t.tokens for t in taps(model)] == [
        None,
        (0, 16),
        (0, 16),
        None,
        None,
    ]


def test_channels_that_are_shuffled_or_spread_are_maps_again():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(8, 3, padding="same", name="conv")(image)
    x = layers.Permute((1, 2, 4, 3))(layers.Reshape((8, 8, 2, 4))(x))
    x = layers.ReLU(name="shuffled")(layers.Reshape((8, 8, 8))(x))
    y = layers.Permute((1, 3, 2, 4, 5))(layers.Reshape((8, 8, 2, 2, 2))(x))
    y = layers.ReLU(name="spread")(layers.Reshape((16, 16, 2))(y))
    model = keras.Model(image, layers.GlobalAveragePooling2D()(y))
    names = {tap.name for tap in taps(model)}
    assert {"conv", "shuffled", "spread"} <= names
    assert find_tap(model, None, "").name == "spread"


def test_a_mixer_s_channels_are_no_positions():
    image = keras.Input((16, 16, 3))
    x = layers.Reshape((16, 24))(layers.Conv2D(24, 4, strides=4)(image))
    y = layers.Permute((2, 1), name="turned")(x)
    y = layers.Dense(16, name="mixed")(y)
    x = layers.Add(name="sum")([x, layers.Permute((2, 1), name="back")(y)])
    model = keras.Model(image, layers.Dense(2)(layers.Flatten()(x)))
    names = [tap.name for tap in taps(model)]
    assert "turned" not in names and "mixed" not in names
    assert {"back", "sum"} <= set(names)
    assert find_tap(model, None, "").name == "sum"


def test_rows_of_a_map_are_no_tokens():
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, padding="same", name="conv")(image)
    x = layers.LSTM(4)(layers.Reshape((16, 64), name="rows")(x))
    model = keras.Model(image, layers.Dense(2)(x))
    assert [tap.name for tap in taps(model)] == ["conv"]


def test_a_nested_transformer_teaches_a_network_of_convolutions(
    vit,
):
    image = keras.Input((16, 16, 3))
    backbone = vit(1, name="backbone")
    x = layers.RandomFlip()(image)
    teacher = keras.Model(image, layers.Dense(4)(backbone(x)))
    tap = find_tap(teacher, None, "teacher_layer")
    assert (tap.name, tap.shape) == ("backbone/norm", (4, 4, 8))
    features, _ = feature_extractor(teacher, [tap])(images())
    assert features.shape == (3, 4, 4, 8)

    paraphraser = keras_ft.Paraphraser(rate=0.5)
    phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    phase1.compile("sgd", run_eagerly=True)
    phase1.fit(images(), batch_size=3, verbose=0)
    said = phase1.accelerated["teacher"]
    assert said.startswith("batch normalization folded"), said
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, strides=2, activation="relu")(image)
    x = layers.GlobalAveragePooling2D()(x)
    student = keras.Model(image, layers.Dense(4)(x))
    model = keras_ft.FactorTransfer(teacher, student, paraphraser, beta=5.0)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss, run_eagerly=True)
    logs = model.fit(images(), np.arange(3), batch_size=3, verbose=0).history
    assert logs["factor_loss"][0] > 0.0


def test_folding_keeps_the_map(vit):
    model = vit(1)
    watched = feature_extractor(model, [find_tap(model, None, "tap")])
    folded = fold(watched, keep=[0])
    np.testing.assert_allclose(
        folded(images()), watched(images())[0], rtol=0, atol=1e-4
    )


def test_the_layer_is_read_from_a_file(tmp_path):
    tokens = keras.Input((7, 5))
    model = keras.Model(tokens, TokensToMap(2, 3, first=1)(tokens))
    model.save(tmp_path / "map.keras")
    model = keras.models.load_model(tmp_path / "map.keras")
    x = np.arange(70.0).reshape(2, 7, 5)
    np.testing.assert_array_equal(model(x), x[:, 1:].reshape(2, 2, 3, 5))
