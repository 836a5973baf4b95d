import keras
import numpy as np
import pytest
from keras import layers

from keras_ft import zoo
from keras_ft.export import BridgeError
from keras_ft.export import to_tf_keras
from keras_ft.export.tf_keras_parity import check_same_outputs

tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")

SHAPE = (8, 8, 3)
# They have more of the blocks that resnet20 and wrn16_1 have.
DEEPER = ("resnet32", "resnet44", "resnet56", "resnet110", "wrn40_1", "wrn40_2")
SLOW_APPLICATION = pytest.param("EfficientNetB0", marks=pytest.mark.long)


def _as_if_trained(model):
    """Batch statistics and offsets unlike those a layer starts with."""
    numbers = np.random.default_rng(0)
    for weight in model.weights:
        if weight.name == "moving_variance":
            weight.assign(numbers.uniform(0.5, 1.5, weight.shape))
        elif weight.name in ("moving_mean", "beta", "bias"):
            weight.assign(numbers.normal(0, 0.1, weight.shape))
    return model


def _numbers(*shape):
    return np.random.default_rng(1).normal(2, 3, shape).astype("float32")


def _block(name="block"):
    return keras.Sequential(
        [
            keras.Input(SHAPE),
            layers.Conv2D(3, 3, padding="same", name="conv"),
            layers.BatchNormalization(name="norm"),
            layers.Dropout(0.5, name="drop"),
        ],
        name=name,
    )


@pytest.mark.parametrize(
    "name", ["resnet20", "wrn16_1", "vgg8", "mobilenet_v2_small"]
)
def test_a_zoo_network_keeps_its_names_weights_and_outputs(name):
    model = _as_if_trained(zoo.build(name))
    bridged = to_tf_keras(model)
    assert [x.name for x in bridged.layers] == [x.name for x in model.layers]
    for layer in model.layers:
        copies = bridged.get_layer(layer.name).get_weights()
        for weight, copy in zip(layer.get_weights(), copies, strict=True):
            np.testing.assert_array_equal(copy, weight)
    # What each layer says, for taps, and not only the last.
    taps = [layer.name for layer in model.layers[1:]]
    ours = keras.Model(model.input, [model.get_layer(x).output for x in taps])
    theirs = tf_keras.Model(
        bridged.input, [bridged.get_layer(x).output for x in taps]
    )
    assert check_same_outputs(ours, theirs) < 1e-5


@pytest.mark.long
@pytest.mark.parametrize("name", sorted({*zoo.names()} - {*DEEPER}))
def test_every_zoo_network_is_bridged(name, assert_same_answers):
    model = _as_if_trained(zoo.build(name))
    assert_same_answers(model, to_tf_keras(model))


@pytest.mark.parametrize("name", ["MobileNetV2", SLOW_APPLICATION])
def test_an_application_is_bridged(name, assert_same_answers):
    build = getattr(keras.applications, name)
    model = build(weights=None, input_shape=(32, 32, 3), classes=4)
    _as_if_trained(model)
    assert_same_answers(model, to_tf_keras(model))


@pytest.mark.parametrize("flat", [False, True])
def test_a_nested_model_may_be_the_output(flat, assert_same_answers):
    inner = keras.Input((8, 8, 3))
    backbone = keras.Model(inner, layers.Conv2D(3, 3)(inner), name="backbone")
    image = keras.Input((8, 8, 3))
    twice = [layers.ReLU()(backbone(image)), backbone(image)]
    for outputs in (backbone(image), twice):
        model = keras.Model(image, outputs)
        made = to_tf_keras(model, flat=flat)
        assert len(made.outputs) == len(keras.tree.flatten(outputs))
        assert_same_answers(model, made)


def test_nested_models_stay_models_or_are_put_in_place():
    image = keras.Input(SHAPE, name="image")
    inner = keras.Model(image, _block("deep")(image), name="backbone")
    pixels = keras.Input(SHAPE, name="pixels")
    pooled = layers.GlobalAveragePooling2D(name="pool")(inner(pixels))
    model = _as_if_trained(keras.Model(pixels, layers.Dense(2)(pooled)))

    nested = to_tf_keras(model)
    backbone = nested.get_layer("backbone")
    assert backbone.get_layer("deep").get_layer("conv").filters == 3

    flat = to_tf_keras(model, flat=True)
    names = [layer.name for layer in flat.layers]
    assert names[1:5] == [
        "backbone/deep/conv",
        "backbone/deep/norm",
        "backbone/deep/drop",
        "pool",
    ]
    assert not any(isinstance(layer, tf_keras.Model) for layer in flat.layers)


@pytest.mark.parametrize("flat", [False, True])
def test_shared_layers_and_models_are_shared(flat, assert_same_answers):
    block, dense = _block(), layers.Dense(3, name="twice")
    image = keras.Input(SHAPE)
    output = layers.Add()([dense(dense(block(block(image)))), image])
    model = _as_if_trained(keras.Model(image, output))
    bridged = to_tf_keras(model, flat=flat)
    assert bridged.count_params() == model.count_params()
    assert_same_answers(model, bridged)


@pytest.mark.parametrize("flat", [False, True])
def test_several_inputs_and_outputs_keep_their_structure(flat):
    left = keras.Input(SHAPE, name="left")
    right = keras.Input(SHAPE, name="right")
    both = keras.Model(
        {"right": right, "left": left},
        layers.Subtract()([left, right]),
        name="both",
    )
    joined = both({"left": _block()(left), "right": right})
    outputs = {"a": layers.Flatten()(joined), "b": left}
    model = keras.Model({"left": left, "right": right}, outputs)
    bridged = to_tf_keras(model, flat=flat)
    values = {"left": _numbers(2, *SHAPE), "right": _numbers(2, *SHAPE) + 1}
    expected, received = model(values), bridged(values)
    assert received.keys() == {"a", "b"}
    for name in ("a", "b"):
        np.testing.assert_allclose(
            received[name], expected[name], rtol=1e-4, atol=1e-5
        )


def test_a_part_of_a_larger_graph_is_bridged_alone():
    block, relu = _block(), layers.ReLU(name="relu")
    image = keras.Input(SHAPE, name="image")
    first = block(image)
    keras.Model(image, layers.Flatten()(relu(first)))
    # Of the block's calls, the later one; of the relu's, the earlier one.
    second = block(image)
    part = _as_if_trained(keras.Model(image, [relu.output, second]))
    bridged = to_tf_keras(part)
    assert {layer.name for layer in bridged.layers[1:]} == {"block", "relu"}
    middle = keras.Model(relu.output, layers.Flatten()(relu.output))
    assert to_tf_keras(middle).output_shape == (None, 192)


def test_a_layer_with_several_outputs_is_followed(assert_same_answers):
    steps = keras.Input((5, 3))
    _, state, carry = layers.LSTM(4, return_state=True)(steps)
    model = keras.Model(steps, [carry, layers.Dense(2)(state)])
    assert_same_answers(model, to_tf_keras(model))


def test_a_sequential_model_may_grow_and_build_late():
    grown = keras.Sequential(name="grown")
    grown.add(keras.Input((None, None, 3)))
    grown.add(layers.Conv2D(4, 3, name="first"))
    grown.add(layers.ReLU(name="second"))
    assert to_tf_keras(grown).output_shape == (None, None, None, 4)
    late = keras.Sequential([layers.Dense(3), layers.Dense(2)])
    with pytest.raises(BridgeError, match="never built"):
        to_tf_keras(late)
    late(np.zeros((1, 4)))
    assert to_tf_keras(late).input_shape[-1] == 4


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_becomes_float32(policy):
    keras.config.set_dtype_policy(policy)
    model = _as_if_trained(zoo.build("resnet8"))
    bridged = to_tf_keras(model)
    assert {layer.compute_dtype for layer in bridged.layers} == {"float32"}
    assert bridged.output.dtype == "float32"
    for weight, copy in zip(model.weights, bridged.weights, strict=True):
        np.testing.assert_array_equal(copy, weight)


def test_bytes_and_words_stay_integers():
    image = keras.Input(SHAPE, dtype="uint8", name="image")
    word = keras.Input((4,), dtype="int32", name="word")
    seen = layers.Flatten()(layers.Rescaling(1 / 127.5, -1)(image))
    read = layers.Flatten()(layers.Embedding(7, 2)(word))
    model = keras.Model([image, word], layers.Concatenate()([seen, read]))
    bridged = to_tf_keras(model)
    assert [x.dtype.name for x in bridged.inputs] == ["uint8", "int32"]


@pytest.mark.parametrize("flat", [False, True])
def test_frozen_parts_stay_frozen(flat):
    block = _block()
    block.trainable = False
    image = keras.Input(SHAPE)
    model = keras.Model(image, layers.Dense(2, name="head")(block(image)))
    bridged = to_tf_keras(model, flat=flat)
    assert len(bridged.trainable_weights) == 2
    bridged.get_layer("head").trainable = False
    assert not bridged.trainable_weights


def test_regularizers_and_constraints_are_kept():
    kernel = keras.regularizers.L1L2(0.1, 0.2)
    dense = layers.Dense(
        3,
        kernel_regularizer=kernel,
        bias_regularizer="l2",
        activity_regularizer=keras.regularizers.L2(0.3),
        kernel_constraint=keras.constraints.MaxNorm(0.7, axis=1),
        name="dense",
    )
    model = _as_if_trained(keras.Sequential([keras.Input((4,)), dense]))
    bridged = to_tf_keras(model)
    values = _numbers(5, 4)
    model(values)
    bridged(values)
    np.testing.assert_allclose(sum(bridged.losses), sum(model.losses), 1e-5)
    kept = bridged.get_layer("dense").kernel_constraint(_numbers(4, 3))
    expected = dense.kernel_constraint(_numbers(4, 3))
    np.testing.assert_allclose(kept, expected, rtol=1e-5)
