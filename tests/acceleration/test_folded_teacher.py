import hashlib
import zipfile

import keras
import numpy as np
import pytest

from keras_ft import data
from keras_ft import zoo
from keras_ft.acceleration import processor
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import refold
from keras_ft.acceleration.not_foldable_error import NotFoldableError
from keras_ft.acceleration.self_check import cosine
from keras_ft.acceleration.self_check import relative_error
from keras_ft.errors import InputError
from keras_ft.feature_taps import find
from keras_ft.views import view

layers = keras.layers

# Measured below 2e-6 on every network here, from rounding alone: the stated
# bound of 1e-4 leaves room for other processors' sums.
BOUND = 1e-4
COSINE = 0.9995


def randomised(model, seed=0):
    """Statistics and parameters of batch norms as after some training."""
    rng = np.random.default_rng(seed)
    for layer in model._flatten_layers():
        if isinstance(layer, layers.BatchNormalization):
            for variable, low, high in (
                (layer.gamma, 0.5, 1.5),
                (layer.beta, -0.5, 0.5),
                (layer.moving_mean, -0.5, 0.5),
                (layer.moving_variance, 0.5, 2.0),
            ):
                if variable is not None:
                    variable.assign(rng.uniform(low, high, variable.shape))
    return model


def images(*shape):
    return np.random.default_rng(7).normal(size=shape).astype("float32")


def kinds(model):
    return [type(layer).__name__ for layer in model.layers]


def assert_equal(model, folded, x, bound=BOUND):
    expected = keras.tree.flatten(model(x, training=False))
    found = keras.tree.flatten(folded(x, training=False))
    for theirs, ours in zip(expected, found, strict=True):
        assert ours.dtype == theirs.dtype and ours.shape == theirs.shape
        assert relative_error(theirs, ours) <= bound


def one_conv(**norm):
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(6, 3, padding="same", name="conv")(image)
    x = layers.BatchNormalization(name="norm", **norm)(x)
    return randomised(keras.Model(image, layers.ReLU(name="relu")(x)))


def watched(teacher):
    return view(teacher, [find(teacher, None, "teacher_layer")])


def test_pretrained_teacher_on_its_images():
    pixels, _ = data.load("fashion_mini").examples("test", 64)
    x = pixels.astype("float32") / 255
    original = watched(zoo.pretrained("fashion_mini"))
    folded = fold(original)
    assert_equal(original, folded, x)
    assert "BatchNormalization" not in kinds(folded)
    assert "ChannelScale" not in kinds(folded)


@pytest.mark.slow
def test_real_resnet56_on_real_images(reference, tfds_folder, capsys):
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
            assert error <= BOUND
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
def test_networks(build, scales, dtype):
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
def test_norms_without_scale_or_shift(scale, center):
    original = one_conv(scale=scale, center=center)
    folded = fold(original)
    assert kinds(folded) == ["InputLayer", "Conv2D", "ReLU"]
    assert_equal(original, folded, images(4, 8, 8, 3))


def test_folded_kernel_is_the_formula():
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
def test_every_layer_that_takes_a_norm(layer, shape, use_bias):
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
def test_a_norm_that_stays_is_a_scale(build):
    original = randomised(build())
    folded = fold(original)
    assert "ChannelScale" in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))


def test_a_norm_over_another_axis_stays_itself():
    image = keras.Input((8, 8, 3))
    x = layers.Conv2D(4, 3)(image)
    x = layers.BatchNormalization(axis=1)(x)
    original = randomised(keras.Model(image, x))
    folded = fold(original)
    assert "BatchNormalization" in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))


def test_nested_models_are_opened():
    inner = one_conv()
    inside = keras.Sequential(
        [keras.Input((8, 8, 6)), layers.Dropout(0.5), inner_conv()], name="seq"
    )
    image = keras.Input((8, 8, 3))
    x = layers.Dropout(0.5)(inside(inner(image)))
    # A second call of a nested model; operations without a layer.
    y = keras.ops.relu(x[:, ::2, ::2, :3] * 2.0 - 0.5)
    original = randomised(keras.Model(image, [x, inner(resized(y))]))
    folded = fold(original)
    assert not any(isinstance(x, keras.Model) for x in folded.layers)
    assert "Dropout" not in kinds(folded)
    assert_equal(original, folded, images(4, 8, 8, 3))


def inner_conv():
    return keras.Sequential(
        [
            keras.Input((8, 8, 6)),
            layers.DepthwiseConv2D(3),
            layers.BatchNormalization(),
        ]
    )


def resized(x):
    return layers.UpSampling2D(8 // x.shape[1] + 1)(x)[:, :8, :8]


def test_a_tap_inside_a_nested_model():
    inner = one_conv()
    image = keras.Input((8, 8, 3))
    x = layers.Flatten()(inner(image))
    teacher = keras.Model(image, layers.Dense(3)(x))
    name = f"{inner.name}/conv"
    original = view(teacher, [find(teacher, name, "teacher_layer")])
    assert_equal(original, fold(original), images(4, 8, 8, 3))


def test_dictionaries_in_and_out():
    first, second = keras.Input((4,), name="b"), keras.Input((4,), name="a")
    x = layers.BatchNormalization()(layers.Dense(5)(first))
    y = layers.BatchNormalization()(layers.Dense(2)(second))
    original = randomised(
        keras.Model({"b": first, "a": second}, {"z": x, "y": y})
    )
    x = {"a": images(4, 4), "b": images(4, 4) + 1}
    assert set(fold(original)(x)) == {"z", "y"}
    assert_equal(original, fold(original), x)


def test_cut_at_the_tap():
    original = watched(randomised(zoo.resnet8()))
    folded = fold(original, keep=[0])
    assert folded.layers[-1].name == "stage3"
    x = images(4, 32, 32, 3)
    features = folded(x)  # Keras unwraps a list of one
    assert relative_error(original(x, training=False)[0], features) <= BOUND


def test_what_is_dropped_no_longer_stops_a_fold():
    original = randomised(not_alone())
    folded = fold(original, keep=[0])
    assert kinds(folded) == ["InputLayer", "Conv2D"]
    randomised(original, seed=1)
    refold(folded, original, keep=[0])
    x = images(4, 8, 8, 3)
    found = folded(x)
    assert relative_error(original(x, training=False)[0], found) <= BOUND


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_refold_follows_the_original(dtype):
    original = randomised(zoo.wide_resnet(10, 1))
    folded = fold(original, dtype)
    before = folded.variables
    x = images(4, 32, 32, 3)
    old = np.array(folded(x))
    randomised(original, seed=1)
    for weight in original.trainable_weights[:3]:
        weight.assign(weight * 1.5)
    refold(folded, original)
    assert all(a is b for a, b in zip(before, folded.variables, strict=True))
    np.testing.assert_array_equal(folded(x), fold(original, dtype)(x))
    assert relative_error(old, folded(x)) > 0.01


def test_refold_refuses_another_network():
    with pytest.raises(InputError, match="whose layers are others"):
        refold(fold(one_conv()), zoo.resnet8())


def contents(model, path):
    """Hashes of a saved model's files, but for the date of saving."""
    model.save(path)
    with zipfile.ZipFile(path) as archive:
        return {
            name: hashlib.sha256(archive.read(name)).hexdigest()
            for name in archive.namelist()
            if name != "metadata.json"
        }


def operations(model):
    for layer in model._flatten_layers():
        yield layer
        yield from getattr(layer, "_operations", ())


def test_the_original_is_left_alone(tmp_path):
    teacher = randomised(zoo.resnet8())
    teacher.get_layer("stem_conv").trainable = False
    original = watched(teacher)

    def state():
        return (
            contents(teacher, tmp_path / "a.keras"),
            [v.trainable for v in teacher.variables],
            [len(op._inbound_nodes) for op in operations(original)],
            [len(op._outbound_nodes) for op in operations(original)],
        )

    before = state()
    folded = fold(original)
    refold(folded, original)
    assert state() == before
    theirs = {id(v) for v in teacher.variables}
    assert theirs.isdisjoint(id(v) for v in folded.variables)
    assert not folded.trainable_variables


class Plain(layers.Layer):
    """Has no config that could make it again."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def call(self, x):
        return self.function(x)


class Counting(layers.Layer):
    def build(self, _):
        self.count = self.add_weight((), "zeros", name="count")

    def call(self, x):
        self.count.assign_add(1.0)
        return x


class Losing(layers.Layer):
    def call(self, x):
        self.add_loss(keras.ops.sum(x))
        return x


class Doubling(layers.Layer):
    """The copy forgets what was set after construction."""

    factor = 1.0

    def call(self, x):
        return x * self.factor


class Holding(layers.Layer):
    """Its config hands the inner layer itself on."""

    def __init__(self, inner, **more):
        super().__init__(**more)
        self.inner = inner

    def call(self, x):
        return self.inner(x)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


class OwnCall(keras.Model):
    def call(self, x):
        return x


class Backbone(keras.Model):
    def __init__(self):
        image = keras.Input((4,))
        super().__init__(image, layers.Dense(4)(image))

    def call(self, x, training=None, mask=None):
        return 2 * super().call(x, training=training, mask=mask)


def doubling():
    layer = Doubling()
    layer.factor = 2.0
    return layer


def recurrent():
    return keras.Sequential(
        [
            keras.Input(batch_shape=(4, 3, 2)),
            layers.LSTM(4, stateful=True),
        ]
    )


def after_input(layer):
    image = keras.Input((4,))
    return keras.Model(image, layer(image), name="teacher")


@pytest.mark.parametrize(
    ("build", "reason"),
    [
        (lambda: after_input(Plain(lambda x: x)), "(Plain) cannot be copied"),
        (lambda: after_input(Counting()), "changes its variables"),
        (lambda: after_input(Losing()), "adds losses"),
        (lambda: after_input(Holding(layers.Dense(2))), "shares variables"),
        (lambda: after_input(doubling()), "relative error 5.0e-01, above"),
        (lambda: after_input(OwnCall()), "has a `call` of its own"),
        (lambda: after_input(Backbone()), "has a `call` of its own"),
        (recurrent, "(LSTM) keeps state"),
        (
            lambda: after_input(layers.Dense(2, dtype="mixed_float16")),
            "computes in float16",
        ),
        (
            lambda: after_input(layers.Lambda(lambda x: x)),
            "(Lambda) cannot be copied",
        ),
    ],
)
def test_refusals_say_why(build, reason):
    with pytest.raises(NotFoldableError) as caught:
        fold(build())
    assert reason in caught.value.reason
    assert caught.value.reason in str(caught.value)


def test_a_refused_original_with_state_is_not_called():
    original = after_input(Counting())
    with pytest.raises(NotFoldableError):
        fold(original)
    assert [float(v) for v in original.variables] == [0.0]


def test_bfloat16_that_loses_too_much_is_refused():
    # A difference of nearly equal numbers: bfloat16 has 8 bits.
    image = keras.Input((4,))
    x = layers.Rescaling(1.0, offset=1000.0)(image)
    x = layers.Rescaling(1.0, offset=-1000.0)(x)
    original = keras.Model(image, x)
    assert_equal(original, fold(original), images(8, 4), 1e-3)
    with pytest.raises(NotFoldableError, match=r"cosine .* below 0.9995"):
        fold(original, "bfloat16")


def test_another_dtype_is_refused():
    with pytest.raises(InputError, match="float64"):
        fold(one_conv(), "float64")


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="never on other backends"
)
@pytest.mark.parametrize(
    ("flags", "onednn", "gains"),
    [
        ("fpu avx512f amx_bf16 amx_tile", "1", True),
        ("fpu avx512_bf16", None, True),
        ("fpu avx512_bf16", "0", False),
        ("fpu avx2 avx512f avx512_bf16x", "1", False),
        (None, "1", False),
    ],
)
def test_detects_bfloat16(flags, onednn, gains, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"model name\t: amx_bf16 X\nflags\t\t: {flags}\n")
    monkeypatch.setattr(processor, "_CPUINFO", file)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if onednn is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    assert processor.gains_from_bfloat16() is gains
