"""What every zoo network promises."""

import math
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError

# Resnets of one family differ in depth only, so the deep ones sit out here.
MODELS = (
    ("resnet8", "projection"),
    ("resnet8", "identity"),
    ("resnet20", None),
    ("wrn16_1", None),
    ("wrn16_2", None),
    ("vgg8", None),
    ("vgg13", None),
    ("mobilenet_v2_small", None),
)
SHAPES = (
    (28, 28, 1),
    pytest.param((32, 32, 3), marks=pytest.mark.long),
    (40, 36, 3),
)
LAST = {"vgg8": "stage4", "vgg13": "stage4"}

every_model = pytest.mark.parametrize(("name", "shortcut"), MODELS)


def build(name, shortcut, **arguments):
    if shortcut:
        return getattr(zoo, name)(shortcut=shortcut, **arguments)
    return zoo.build(name, **arguments)


@pytest.mark.parametrize("input_shape", SHAPES)
@every_model
def test_returns_logits_for_any_size(name, shortcut, input_shape):
    model = build(name, shortcut, classes=7, input_shape=input_shape)
    assert model.input_shape == (None, *input_shape)
    assert model.output_shape == (None, 7)
    assert model.name == name

    images = np.random.default_rng(0).normal(size=(3, *input_shape))
    logits = model(images.astype("float32"), training=False)
    assert np.isfinite(logits).all()
    assert not np.allclose(logits[0], logits[1])
    assert model.get_layer("head").activation is keras.activations.linear


@every_model
def test_layer_names(name, shortcut, built):
    model = built(name, shortcut)
    names = [layer.name for layer in model.layers]
    last = LAST.get(name, "stage3")
    assert names[0] == "image"
    assert names[-3:] == [last, "pool", "head"]
    parts = ["stem", *(f"stage{i}" for i in range(1, int(last[-1]) + 1))]
    assert [n for n in names if n in parts] == parts
    # Everything else is named after the part it belongs to, and precedes its
    # end.
    for index, layer_name in enumerate(names[1:-2], start=1):
        part = layer_name.split("_")[0]
        assert part in parts
        assert index <= names.index(part)


@every_model
def test_stages_halve_the_map_and_the_last_is_not_negative(name, shortcut):
    model = build(name, shortcut, input_shape=(40, 36, 3))
    last = model.get_layer(LAST.get(name, "stage3"))
    height, width = (5, 4) if name in LAST else (10, 9)
    assert last.output.shape[1:3] == (height, width)
    assert isinstance(last, keras.layers.ReLU)


@every_model
def test_is_a_flat_graph_of_stock_layers(name, shortcut, built):
    model = built(name, shortcut)
    assert type(model) is keras.Model or isinstance(model, keras.models.Model)
    for operation in model.operations:
        assert isinstance(operation, keras.layers.Layer)
        assert not isinstance(operation, (keras.Model, keras.layers.Lambda))
        assert type(operation).__module__.startswith("keras.src.layers.")


@every_model
def test_normalization_and_biases(name, shortcut, built):
    layers = built(name, shortcut).layers
    norms = [
        layer
        for layer in layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    assert norms
    assert {(n.momentum, n.epsilon) for n in norms} == {(0.9, 1e-5)}
    biased = [n.name for n in layers if getattr(n, "use_bias", False)]
    assert biased == ["head"]


@every_model
def test_he_initialization_over_fan_out(name, shortcut, built):
    # Six standard errors of a standard deviation, sigma / sqrt(2 n), and
    # different values in every layer.
    kernels = [
        layer.kernel.numpy()
        for layer in built(name, shortcut).layers
        if isinstance(
            layer, (keras.layers.Conv2D, keras.layers.DepthwiseConv2D)
        )
    ]
    for kernel in kernels:
        expected = math.sqrt(2 / (kernel.shape[0] ** 2 * kernel.shape[-1]))
        tolerance = 6 * expected / math.sqrt(2 * kernel.size)
        assert abs(kernel.std() - expected) < tolerance
    firsts = {float(kernel.flat[0] / kernel.std()) for kernel in kernels}
    assert len(firsts) == len(kernels)


@pytest.mark.parametrize(
    ("policy", "features", "logits"),
    [
        ("mixed_bfloat16", "bfloat16", "float32"),
        ("float64", "float64", "float64"),
    ],
)
def test_follows_the_dtype_policy(policy, features, logits):
    keras.config.set_dtype_policy(policy)
    model = zoo.resnet8(shortcut="identity")
    assert model.get_layer("stage3").output.dtype == features
    assert model.output.dtype == logits


def test_saves_for_stock_keras(tmp_path):
    # Identity shortcuts are the one unusual arrangement of layers here.
    model = zoo.resnet8(classes=10, shortcut="identity")
    images = np.random.default_rng(0).normal(size=(2, 32, 32, 3))
    np.save(tmp_path / "images.npy", images.astype("float32"))
    model.save(tmp_path / "model.keras")

    script = (
        "import sys, keras, numpy as np\n"
        "model = keras.models.load_model('model.keras', safe_mode=True)\n"
        "assert not any(m.startswith('keras_ft') for m in sys.modules)\n"
        "logits = model(np.load('images.npy'), training=False)\n"
        "np.save('logits.npy', np.asarray(logits))\n"
    )
    subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True)
    expected = model(images.astype("float32"), training=False)
    np.testing.assert_array_equal(np.load(tmp_path / "logits.npy"), expected)


@pytest.mark.parametrize(
    "arguments",
    [
        {"classes": 1},
        {"classes": 2.5},
        {"classes": True},
        {"input_shape": (27, 32, 3)},
        {"input_shape": (32, 27, 3)},
        {"input_shape": (32, 32, 4)},
        {"input_shape": (32, 32)},
        {"input_shape": (None, None, 3)},
        {"input_shape": 32},
    ],
)
@pytest.mark.parametrize("name", ["resnet8", "wrn16_1", "vgg8"])
def test_refuses_what_it_cannot_build(name, arguments):
    with pytest.raises(InputError, match=next(iter(arguments))):
        zoo.build(name, **arguments)


def test_takes_numpy_integers_and_lists():
    model = zoo.resnet8(np.int64(3), [np.int32(28), 28, 1])
    assert model.input_shape == (None, 28, 28, 1)
    assert model.output_shape == (None, 3)
