"""Every layer and activation that the bridge lets through, one by one."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.export import BridgeError
from keras_ft.export import to_tf_keras
from keras_ft.export.tf_keras_layers import ACTIVATIONS
from keras_ft.export.tf_keras_layers import LAYERS

pytest.importorskip("tf_keras", reason="tf_keras is not installed")

VECTOR, STEPS, IMAGE, VOLUME = (6,), (9, 4), (8, 8, 4), (6, 6, 6, 4)
BY_RANK = {1: STEPS, 2: IMAGE, 3: VOLUME}


def _one_input():
    """(input shape, layer) for every layer with one input, some twice."""
    yield STEPS, layers.Conv1D(3, 3, padding="causal", dilation_rate=2)
    yield (
        IMAGE,
        layers.Conv2D(
            8, 3, strides=2, padding="same", groups=2, activation="relu6"
        ),
    )
    yield VOLUME, layers.Conv3D(3, 3, padding="same")
    yield STEPS, layers.Conv1DTranspose(3, 3, strides=2, padding="same")
    yield IMAGE, layers.Conv2DTranspose(3, 3, strides=2, padding="same")
    yield (
        IMAGE,
        layers.Conv2DTranspose(
            3, 3, strides=2, padding="same", output_padding=1
        ),
    )
    yield VOLUME, layers.Conv3DTranspose(3, 3, strides=2)
    yield STEPS, layers.DepthwiseConv1D(3, depth_multiplier=2)
    yield IMAGE, layers.DepthwiseConv2D(3, strides=2, padding="same")
    yield STEPS, layers.SeparableConv1D(3, 3)
    yield IMAGE, layers.SeparableConv2D(3, 3, dilation_rate=2)
    yield VECTOR, layers.Dense(3, activation="gelu")
    yield VECTOR, layers.EinsumDense("ab,bc->ac", 3, bias_axes="c")
    yield VECTOR, layers.Embedding(20, 4)
    yield IMAGE, layers.BatchNormalization(momentum=0.8, epsilon=1e-4)
    yield IMAGE, layers.BatchNormalization(axis=1, scale=False)
    yield IMAGE, layers.LayerNormalization(axis=[1, 2], epsilon=1e-5)
    yield IMAGE, layers.GroupNormalization(2)
    yield IMAGE, layers.GroupNormalization(-1)
    yield IMAGE, layers.UnitNormalization()
    numbers = [1.0, 2.0, 3.0, 4.0]
    yield IMAGE, layers.Normalization(mean=numbers, variance=numbers)
    yield (
        IMAGE,
        layers.Normalization(axis=None, mean=1.0, variance=2.0, invert=True),
    )
    yield IMAGE, layers.Rescaling(numbers, offset=-1)
    yield IMAGE, layers.Resizing(5, 7, interpolation="bicubic")
    yield IMAGE, layers.Resizing(5, 7, crop_to_aspect_ratio=True)
    yield IMAGE, layers.CenterCrop(5, 4)
    yield IMAGE, layers.CenterCrop(10, 14)
    yield IMAGE, layers.RandomFlip("horizontal")
    yield IMAGE, layers.RandomRotation(0.1)
    yield IMAGE, layers.RandomTranslation(0.1, 0.1)
    yield IMAGE, layers.RandomZoom(0.1)
    yield IMAGE, layers.RandomContrast(0.1)
    yield IMAGE, layers.RandomBrightness(0.1)
    yield IMAGE, layers.Dropout(0.1, seed=3)
    yield IMAGE, layers.GaussianNoise(0.1)
    yield IMAGE, layers.GaussianDropout(0.1)
    yield IMAGE, layers.AlphaDropout(0.1)
    yield IMAGE, layers.ActivityRegularization(0.1, 0.1)
    yield IMAGE, layers.Activation("silu")
    yield IMAGE, layers.ReLU(max_value=1.0, negative_slope=0.1, threshold=0.2)
    yield IMAGE, layers.LeakyReLU(negative_slope=0.17)
    yield IMAGE, layers.PReLU(shared_axes=[1, 2])
    yield IMAGE, layers.ELU(alpha=0.4)
    yield IMAGE, layers.Softmax(axis=[1, 2])
    yield IMAGE, layers.Flatten()
    yield IMAGE, layers.Reshape((-1, 2))
    yield IMAGE, layers.Permute((2, 1, 3))
    yield IMAGE, layers.Identity()
    yield VECTOR, layers.RepeatVector(3)
    yield STEPS, layers.LSTM(3, return_sequences=True, go_backwards=True)
    yield STEPS, layers.GRU(3)
    yield STEPS, layers.GRU(3, reset_after=False)
    yield STEPS, layers.SimpleRNN(3)
    yield STEPS, layers.Bidirectional(layers.LSTM(3, return_sequences=True))
    backward = layers.GRU(3, go_backwards=True)
    yield (
        STEPS,
        layers.Bidirectional(layers.LSTM(3), "ave", backward_layer=backward),
    )
    yield VOLUME, layers.TimeDistributed(layers.Conv2D(3, 3))
    yield IMAGE, layers.UpSampling2D(2, interpolation="bilinear")
    for rank, shape in BY_RANK.items():

        def ranked(kind, *args, rank=rank, **kwargs):
            return getattr(layers, f"{kind}{rank}D")(*args, **kwargs)

        for kind in ("AveragePooling", "MaxPooling"):
            yield shape, ranked(kind, 3, strides=2, padding="same")
        for kind in ("GlobalAveragePooling", "GlobalMaxPooling"):
            yield shape, ranked(kind, keepdims=True)
        for kind in ("Cropping", "ZeroPadding", "UpSampling"):
            yield shape, ranked(kind, 1)
        yield shape, ranked("SpatialDropout", 0.1)


def _merges():
    for kind in ("Add", "Average", "Concatenate", "Maximum", "Minimum"):
        yield getattr(layers, kind)()
    yield layers.Multiply()
    yield layers.Subtract()
    yield layers.Dot(axes=1, normalize=True)


def _with_values(model):
    """Weights that differ from any initial value, and variances above 0."""
    random = np.random.default_rng(0)
    for weight in model.weights:
        weight.assign(random.uniform(0.3, 0.9, weight.shape))
    return model


def _names():
    seen = {type(layer).__name__ for _, layer in _one_input()}
    seen |= {type(layer).__name__ for layer in _merges()}
    return seen | {"MultiHeadAttention"}


def test_every_layer_let_through_is_compared_here():
    assert _names() == LAYERS


def _models(kind):
    """A model of every case of a layer."""
    for shape, layer in _one_input():
        if type(layer).__name__ == kind:
            yield keras.Sequential([keras.Input(shape), layer])
    for layer in _merges():
        if type(layer).__name__ == kind:
            pair = [keras.Input((5,)), keras.Input((5,))]
            yield keras.Model(pair, layer(pair))
    if kind == "MultiHeadAttention":
        steps = keras.Input(STEPS)
        layer = layers.MultiHeadAttention(2, 3)
        output = layer(query=steps, value=steps, use_causal_mask=True)
        yield keras.Model(steps, output)


@pytest.mark.parametrize("kind", sorted(_names()))
def test_a_layer_computes_the_same(kind, assert_same_answers):
    for model in _models(kind):
        bridged = to_tf_keras(_with_values(model))
        layer = model.layers[-1]
        assert bridged.get_layer(layer.name).name == layer.name
        assert len(model.weights) <= len(bridged.weights)
        assert_same_answers(model, bridged)


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_computes_the_same(name, assert_same_answers):
    stack = [keras.Input(VECTOR), layers.Dense(4, activation=name)]
    model = keras.Sequential([*stack, layers.Activation(name)])
    assert_same_answers(model, to_tf_keras(model))


def test_an_adapted_normalization_keeps_what_it_saw():
    layer = layers.Normalization()
    seen = np.random.default_rng(0).normal(3, 2, (64, *IMAGE))
    layer.adapt(seen.astype("float32"))
    model = keras.Sequential([keras.Input(IMAGE), layer])
    normalized = to_tf_keras(model)(seen.astype("float32")).numpy()
    assert abs(normalized.mean()) < 1e-3 and abs(normalized.std() - 1) < 1e-3


class _Own(layers.Layer):
    def call(self, inputs):
        return inputs


class _OwnDense(layers.Dense):
    pass


def _own_activation(x):
    return x


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (layers.Lambda(lambda x: x, name="bad"), "Lambda"),
        (_Own(name="bad"), "custom"),
        (_OwnDense(3, name="bad"), "custom"),
        (layers.RMSNormalization(name="bad"), "RMSNormalization"),
        (layers.AdaptiveAveragePooling2D(2, name="bad"), "AdaptiveAverage"),
        (
            layers.SpectralNormalization(layers.Dense(3), name="bad"),
            "SpectralNormalization",
        ),
        (layers.RandomCrop(4, 4, name="bad"), "RandomCrop"),
        (layers.Resizing(4, 4, fill_mode="reflect", name="bad"), "fill_mode"),
        (layers.Resizing(4, 4, antialias=True, name="bad"), "antialias"),
        (
            layers.Resizing(4, 4, pad_to_aspect_ratio=True, name="bad"),
            "pad_to_aspect_ratio",
        ),
        (layers.Dense(3, activation="hard_silu", name="bad"), "hard_silu"),
        (layers.Dense(3, activation="hard_tanh", name="bad"), "hard_tanh"),
        (layers.Dense(3, activation=_own_activation, name="bad"), "_own_act"),
        (
            layers.Dense(3, activation=layers.LeakyReLU(), name="bad"),
            "LeakyReLU",
        ),
        (layers.TimeDistributed(_OwnDense(3), name="bad"), "_OwnDense"),
        (
            layers.Conv2D(3, 1, data_format="channels_first", name="bad"),
            "channels_first",
        ),
    ],
)
def test_what_tf_keras_lacks_is_refused_by_name(layer, reason):
    model = keras.Sequential([keras.Input(IMAGE), layer])
    with pytest.raises(BridgeError, match=reason) as refusal:
        to_tf_keras(model)
    assert refusal.value.layer == "bad"
    assert refusal.value.remedy.endswith(".")


def test_padding_of_the_last_two_axes_is_let_through():
    model = keras.Sequential(
        [
            keras.Input(IMAGE),
            layers.ZeroPadding2D(
                ((0, 0), (2, 3)), data_format="channels_first"
            ),
        ]
    )
    images = np.random.default_rng(0).normal(size=(2, *IMAGE))
    np.testing.assert_array_equal(
        to_tf_keras(model)(images), keras.ops.convert_to_numpy(model(images))
    )


def test_rms_scaling_is_refused():
    layer = layers.LayerNormalization(name="bad")
    layer.rms_scaling = True
    model = keras.Sequential([keras.Input(IMAGE), layer])
    with pytest.raises(BridgeError, match="rms_scaling"):
        to_tf_keras(model)


HARD = "hard_sigmoid"


@pytest.mark.parametrize(
    "layer",
    [
        layers.Conv1D(3, 1, activation=HARD, name="bad"),
        layers.Dense(3, activation=HARD, name="bad"),
        layers.SeparableConv1D(3, 1, activation=HARD, name="bad"),
        layers.LSTM(3, activation=HARD, name="bad"),
        layers.LSTM(3, recurrent_activation=HARD, name="bad"),
        layers.GRU(3, recurrent_activation=HARD, name="bad"),
        layers.Bidirectional(
            layers.LSTM(3, recurrent_activation=HARD), name="bad"
        ),
        layers.TimeDistributed(layers.Dense(3, activation=HARD), name="bad"),
    ],
)
def test_hard_sigmoid_is_refused_wherever_it_is(layer):
    model = keras.Sequential([keras.Input(STEPS), layer])
    with pytest.raises(BridgeError, match="0.083") as refusal:
        to_tf_keras(model)
    assert refusal.value.layer == "bad"
    assert "Rescaling" in refusal.value.remedy


@pytest.mark.parametrize(
    "activation",
    [
        HARD,
        keras.activations.hard_sigmoid,
        "hard_silu",
        "hard_swish",
    ],
)
def test_hard_activations_of_their_own_are_rebuilt(
    activation, assert_same_answers
):
    image = keras.Input(IMAGE)
    gate = layers.Activation(activation, name="gate")
    x = layers.Conv2D(4, 1, name="conv")(gate(image))
    model = keras.Model(image, [gate(x), x])  # called twice
    copy = to_tf_keras(model)
    assert_same_answers(model, copy)
    # Under the name of the layer, which a tap may have.
    assert copy.get_layer("gate").output.shape == (None, *IMAGE)
    x = np.linspace(-5, 5, 4 * np.prod(IMAGE), dtype="float32")
    x = x.reshape(4, *IMAGE)
    np.testing.assert_allclose(copy(x)[0], model(x)[0], atol=1e-6)


def test_arithmetic_is_rebuilt(assert_same_answers):
    """As `keras.applications` writes MobileNetV3's hard sigmoid."""
    image = keras.Input(IMAGE)
    x = layers.Conv2D(4, 1)(image)
    x = layers.ReLU(6.0)(x + 3.0) * (1.0 / 6.0)
    x = 2.0 - x
    x = (x - 0.5) / 4
    pooled = layers.GlobalAveragePooling2D(keepdims=True)(x)
    x = keras.ops.multiply(x, pooled) + keras.ops.add(x, x) - pooled
    model = keras.Model(image, x, name="inner")
    assert_same_answers(model, to_tf_keras(model))
    outer = keras.Model(image, model(image) * 2.0)
    assert_same_answers(outer, to_tf_keras(outer, flat=True))


@pytest.mark.parametrize("output", [lambda x: 1 / x, lambda x: x / (x + 9.0)])
def test_arithmetic_without_a_layer_is_refused(output):
    image = keras.Input(IMAGE)
    with pytest.raises(BridgeError, match="division"):
        to_tf_keras(keras.Model(image, output(image)))


def test_the_remedy_for_hard_sigmoid_is_exact():
    x = np.linspace(-5, 5, 101, dtype="float32")
    y = layers.ReLU(max_value=1)(layers.Rescaling(1 / 6, 0.5)(x))
    np.testing.assert_allclose(y, keras.activations.hard_sigmoid(x), atol=1e-6)
