import keras
import numpy as np
import pytest

from keras_ft import data
from keras_ft import zoo
from keras_ft.acceleration.folded_teacher import cosine
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import relative_error

layers = keras.layers

COSINE = 0.9995


def test_pretrained_teacher_on_its_images(kinds, assert_equal, watched):
    pixels, _ = data.load("fashion_mini").examples("test", 64)
    x = pixels.astype("float32") / 255
    original = watched(zoo.pretrained("fashion_mini"))
    folded = fold(original)
    assert_equal(original, folded, x)
    assert "BatchNormalization" not in kinds(folded)
    assert "ChannelScale" not in kinds(folded)


@pytest.mark.slow
@pytest.mark.long
def test_real_resnet56_on_real_images(
    reference, tfds_folder, capsys, watched, bound
):
    file = reference / "teachers" / "resnet56_cifar10.npz"
    original = watched(zoo.load_torch_resnet(file))
    imagenet = data.Normalization(
        mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225)
    )
    set_ = data.load("cifar10", data_dir=tfds_folder, normalization=imagenet)
    pixels, labels = set_.examples("test", 256)
    mean, std = (np.array(x) for x in (imagenet.mean, imagenet.std))
    x = ((pixels / 255 - mean) / std).astype("float32")
    features, logits = original(x, training=False)
    rates = [np.mean(np.argmax(logits, -1) == labels)]
    for dtype in ("float32", "bfloat16"):
        ours, answers = fold(original, dtype)(x, training=False)
        rates.append(np.mean(np.argmax(answers, -1) == labels))
        error = max(
            relative_error(features, ours), relative_error(logits, answers)
        )
        least = cosine(features, ours)
        with capsys.disabled():
            print(f"\n{dtype}: error {error:.1e}, cosine {least:.6f}", rates)
        if dtype == "float32":
            assert error <= bound
        assert least >= COSINE
    # One image of 256 is 0.4 %.
    np.testing.assert_allclose(rates, rates[0], atol=0.004)
    assert rates[0] > 0.9


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    ("build", "scales"),
    [
        (lambda: zoo.wide_resnet(16, 1), 7),
        (zoo.vgg8, 0),
        (zoo.mobilenet_v2_small, 0),
        (
            lambda: keras.applications.MobileNetV2(
                (32, 32, 3), weights=None, classes=10
            ),
            0,
        ),
    ],
    ids=["wrn16_1", "vgg8", "mobilenet_v2_small", "applications"],
)
def test_networks(
    build, scales, dtype, randomised, images, kinds, assert_equal
):
    original = randomised(build())
    folded = fold(original, dtype)
    x = images(8, 32, 32, 3)
    if dtype == "float32":
        assert_equal(original, folded, x)
    else:
        answers = folded(x, training=False)
        assert answers.dtype == "float32"
        assert cosine(original(x, training=False), answers) >= COSINE
        assert {w.dtype for w in folded.weights} == {"bfloat16"}
    assert "BatchNormalization" not in kinds(folded)
    # A pre-activation norm follows a sum, which cannot take it.
    assert kinds(folded).count("ChannelScale") == scales


@pytest.mark.parametrize("scale", [True, False])
@pytest.mark.parametrize("center", [True, False])
def test_norms_without_scale_or_shift(
    scale, center, images, kinds, assert_equal, one_conv
):
    original = one_conv(scale=scale, center=center)
    folded = fold(original)
    assert kinds(folded) == ["InputLayer", "Conv2D", "ReLU"]
    assert_equal(original, folded, images(4, 8, 8, 3))


def test_folded_kernel_is_the_formula(one_conv):
    original = one_conv(epsilon=0.1)
    kernel, bias = fold(original).get_layer("conv").get_weights()
    conv, norm = original.get_layer("conv"), original.get_layer("norm")
    gamma, beta, mean, variance = map(np.float64, norm.get_weights())
    factor = gamma / np.sqrt(variance + 0.1)
    np.testing.assert_allclose(kernel, conv.get_weights()[0] * factor, 1e-6)
    np.testing.assert_allclose(bias, beta - mean * factor, 1e-6, 1e-7)


@pytest.mark.parametrize("use_bias", [True, False])
@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (layers.Dense, (5,)),
        (layers.Dense, (3, 5)),
        (layers.Conv1D, (9, 4)),
        (layers.Conv2D, (9, 9, 4)),
        (layers.Conv3D, (5, 5, 5, 2)),
        (layers.Conv1DTranspose, (6, 4)),
        (layers.Conv2DTranspose, (6, 6, 4)),
        (layers.Conv3DTranspose, (4, 4, 4, 2)),
        (layers.SeparableConv1D, (9, 4)),
        (layers.SeparableConv2D, (9, 9, 4)),
        (layers.DepthwiseConv1D, (9, 4)),
        (layers.DepthwiseConv2D, (9, 9, 4)),
    ],
)
def test_every_layer_that_takes_a_norm(
    layer, shape, use_bias, randomised, images, assert_equal
):
    image = keras.Input(shape)
    options = {"use_bias": use_bias}
    if use_bias and not issubclass(layer, layers.DepthwiseConv1D):
        options["bias_initializer"] = "random_normal"
    if "Depthwise" in layer.__name__:
        x = layer(3, depth_multiplier=2, **options)(image)
    else:
        x = layer(7, *([] if layer is layers.Dense else [3]), **options)(image)
    x = layers.BatchNormalization()(x)
    x = layers.BatchNormalization()(x)  # both of them
    original = randomised(keras.Model(image, x))
    folded = fold(original)
    assert len(folded.layers) == 2
    assert_equal(original, folded, images(4, *shape))


def not_alone():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    return keras.Model(image, [layers.BatchNormalization()(x), x])


def activated():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3, activation="relu")(image)
    return keras.Model(image, layers.BatchNormalization()(x))


def called_twice():
    image = keras.Input((8, 8, 3))
    conv = layers.Conv2D(3, 3, padding="same")
    norm = layers.BatchNormalization()
    return keras.Model(image, norm(conv(norm(conv(image)))))


def at_the_input():
    image = keras.Input((8, 8, 3))
    return keras.Model(image, layers.BatchNormalization()(image))


@pytest.mark.parametrize(
    "build", [not_alone, activated, called_twice, at_the_input]
)
def test_a_norm_that_stays_is_a_scale(
    build, randomised, images, kinds, assert_equal
):
    original = randomised(build())
    folded = fold(original)
    assert "ChannelScale" in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))


def test_a_norm_over_another_axis_stays_itself(
    randomised, images, kinds, assert_equal
):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    x = layers.BatchNormalization(axis=1)(x)
    original = randomised(keras.Model(image, x))
    folded = fold(original)
    assert "BatchNormalization" in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))
