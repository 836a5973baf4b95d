import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.compression.quantization_aware import keep_zeros_and_clusters
from keras_ft.compression.quantization_aware import quantizable
from keras_ft.compression.quantization_aware import set_activation_ranges
from keras_ft.export import to_tf_keras

tf_keras = pytest.importorskip("tf_keras", reason="tf_keras is not installed")

KERNEL = np.array([[0.0, 1.0, 1.0], [2.0, 0.0, 2.0]], np.float32)
MOVED = np.array([[0.3, 1.5, 0.9], [2.0, -0.1, 3.0]], np.float32)


def test_only_normalizations_that_are_not_folded_stay_in_float():
    quantized = quantizable(to_tf_keras(zoo.wide_resnet(10, 1)))
    in_float = {
        layer.layer.name
        for layer in quantized.layers
        if type(getattr(layer, "quantize_config", None)).__name__
        == "FloatConfig"
    }
    # The first one's convolution also feeds the shortcut.
    first = {f"stage{stage}_block1_bn1" for stage in (1, 2, 3)}
    assert in_float == {*first, "stage3_bn"}


def test_the_network_itself_stays_as_it_is():
    network = to_tf_keras(zoo.resnet8())
    before = [weight.numpy() for weight in network.weights]
    names = [layer.name for layer in network.layers]
    quantized = quantizable(network)
    quantized.get_layer("quant_head").layer.bias.assign_add([1.0] * 10)
    assert [layer.name for layer in network.layers] == names
    for old, weight in zip(before, network.weights, strict=True):
        assert (old == weight.numpy()).all()
    assert network.get_layer("stage3").output.shape == (None, 8, 8, 64)


@pytest.fixture
def wide():
    """A network whose logits reach far beyond tfmot's initial -6..6."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Conv2D(8, 3, name="conv")(image)
    x = keras.layers.BatchNormalization(name="norm")(x)
    x = keras.layers.ReLU(name="relu")(x)
    x = keras.layers.GlobalAveragePooling2D(name="pool")(x)
    spread = keras.initializers.RandomNormal(stddev=40.0)
    x = keras.layers.Dense(4, kernel_initializer=spread, name="head")(x)
    return to_tf_keras(keras.Model(image, x))


def test_ranges_are_those_of_the_float_network(wide, batch):
    images, _ = batch
    quantized = quantizable(wide)
    set_activation_ranges(quantized, wide, [images[:12], images[12:]])
    logits = [wide(half).numpy() for half in (images[:12], images[12:])]
    ranges = {
        weight.name: float(weight)
        for weight in quantized.get_layer("quant_head").weights
        if "post_activation" in weight.name
    }
    assert ranges == {
        "quant_head/post_activation_min:0": pytest.approx(
            np.mean([min(half.min(), 0.0) for half in logits]), rel=1e-5
        ),
        "quant_head/post_activation_max:0": pytest.approx(
            np.mean([half.max() for half in logits]), rel=1e-5
        ),
    }


def test_measured_ranges_clip_little(wide, batch):
    images, _ = batch
    expected = wide(images).numpy()
    assert np.abs(expected).max() > 12.0
    quantized = quantizable(wide)
    # Once in training mode: kernels are given their ranges there.
    quantized(images, training=True)
    clipped = quantized(images).numpy()
    set_activation_ranges(quantized, wide, [images])
    error = np.abs(quantized(images).numpy() - expected).max()
    assert np.abs(clipped - expected).max() > 6.0
    assert error < 0.1 * np.abs(expected).max()


@pytest.mark.parametrize(
    ("zeros", "clusters", "expected"),
    [
        (False, False, MOVED),
        (True, False, [[0.0, 1.5, 0.9], [2.0, 0.0, 3.0]]),
        (False, True, [[0.1, 1.2, 1.2], [2.5, 0.1, 2.5]]),
        (True, True, [[0.0, 1.2, 1.2], [2.5, 0.0, 2.5]]),
    ],
)
def test_what_was_equal_or_zero_is_so_again(zeros, clusters, expected):
    layer = tf_keras.layers.Dense(3, name="head")
    network = tf_keras.Sequential([tf_keras.Input((2,)), layer])
    layer.kernel.assign(MOVED)
    keep_zeros_and_clusters(network, {"head": KERNEL}, zeros, clusters)()
    np.testing.assert_allclose(layer.kernel, expected, rtol=1e-6)
    if zeros:
        assert (layer.kernel.numpy()[KERNEL == 0] == 0).all()
