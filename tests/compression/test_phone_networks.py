"""Students as phones have them: pixels inside, gates, hard activations."""

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import transfers
from keras_ft.compression import compress
from keras_ft.compression.quantization_aware import quantizable
from keras_ft.export import run_in_litert
from keras_ft.export import to_tf_keras
from keras_ft.export import to_tflite

tf = pytest.importorskip("tensorflow")


def gated(units=4, activation="softmax", hard=True):
    """A block of MobileNetV3 (hard) or EfficientNet, on pixels 0..255."""
    image = keras.Input((16, 16, 3))
    x = layers.Rescaling(1 / 127.5, -1.0)(image)
    if not hard:
        x = layers.Normalization(mean=[0.1, 0.0, 0.2], variance=[1, 1, 2.0])(x)
    x = layers.Conv2D(16, 3, strides=2, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.Activation("hard_silu" if hard else "silu", name="features")(x)
    gate = layers.GlobalAveragePooling2D(keepdims=True)(x)
    gate = layers.Conv2D(4, 1, activation="relu")(gate)
    gate = layers.Conv2D(16, 1)(gate)
    if hard:
        gate = layers.ReLU(6.0)(gate + 3.0) * (1.0 / 6.0)
    else:
        gate = layers.Activation("sigmoid")(gate)
    x = layers.Multiply()([x, gate])
    x = layers.DepthwiseConv2D(3, padding="same", use_bias=False)(x)
    x = layers.BatchNormalization()(x)
    x = layers.GlobalAveragePooling2D()(layers.ReLU()(x))
    return keras.Model(image, layers.Dense(units, activation=activation)(x))


@pytest.fixture(scope="module")
def images():
    """48 pictures of random brightness and noise, pixels 0..255."""
    random = np.random.default_rng(7)
    levels = random.uniform(20, 235, (48, 1, 1, 1))
    pictures = levels + random.normal(0, 10, (48, 16, 16, 3))
    return np.clip(pictures, 0, 255).astype("float32")


@pytest.fixture(scope="module")
def brightness(images):
    """The class of each picture: its brightness, in four steps."""
    return np.minimum(images.mean(axis=(1, 2, 3)) // 64, 3).astype("int32")


def trained(student, images, labels, loss):
    student.compile(keras.optimizers.Adam(0.02), loss)
    student.fit(images, labels, epochs=20, verbose=0)


def float_tensors(path):
    (graph,) = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs
    return sum(x.type == schema.TensorType.FLOAT32 for x in graph.tensors)


@pytest.mark.slow
@pytest.mark.parametrize(
    "hard", [True, pytest.param(False, marks=pytest.mark.long)]
)
def test_quantization_aware_training_and_the_file(
    hard, images, brightness, tmp_path
):
    keras.utils.set_random_seed(0)
    student = gated(hard=hard)
    trained(student, images, brightness, "sparse_categorical_crossentropy")
    teacher = gated()
    terms = [
        transfers.SoftTargets(),
        transfers.AttentionTransfer(
            teacher_layer_name="features", student_layer_name="features"
        ),
    ]
    model = Distiller(teacher, student, terms)
    model.compile("sgd", "sparse_categorical_crossentropy")
    pairs = tf.data.Dataset.from_tensor_slices((images, brightness)).batch(16)
    before = student.get_weights()
    small = compress(model, "qat", pairs, epochs=2, verbose=0)
    assert small.history.history["soft_target_loss"][0] > 0
    for old, new in zip(before, student.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    result = to_tflite(
        small,
        tmp_path / "small.tflite",
        "int8",
        calibration=images,
        labels=brightness,
    )
    # Its input and its output, and nothing between.
    assert float_tensors(result.path) == 2
    assert result.agreement >= 0.95 and result.accuracy > 0.5
    received = run_in_litert(result.path, images)
    expected = keras.ops.softmax(small(images, training=False).numpy())
    assert np.abs(received - expected).max() < 0.1
    assert np.ptp(received) > 0.2


def test_a_pruned_student_of_yes_and_no(images, brightness, tmp_path):
    keras.utils.set_random_seed(0)
    student = gated(1, "sigmoid")
    bright = (brightness > 1).astype("float32")
    trained(student, images, bright, "binary_crossentropy")
    pairs = tf.data.Dataset.from_tensor_slices((images, bright)).batch(16)
    small = compress(student, "prune", pairs, epochs=3, verbose=0)
    _, accuracy = small.evaluate(pairs, verbose=0)
    assert accuracy > 0.9
    kernels = [x.kernel.numpy() for x in small.layers if hasattr(x, "kernel")]
    assert np.mean(kernels[0] == 0) >= 0.5 - 1 / kernels[0].size
    result = to_tflite(
        small,
        tmp_path / "small.tflite",
        samples=images,
        labels=bright,
        class_names=["dark", "bright"],
    )
    assert result.outputs[0].activation == "sigmoid"
    assert result.accuracy == pytest.approx(accuracy)


def test_what_tfmot_refuses_is_told_before_any_training(images, brightness):
    """An activation that it does not imitate; the first stage would prune."""
    image = keras.Input((16, 16, 3))
    x = layers.Conv2D(4, 3, activation="softplus")(image)
    x = layers.GlobalAveragePooling2D()(x)
    student = keras.Model(image, layers.Dense(4)(x), name="soft")
    pairs = tf.data.Dataset.from_tensor_slices((images, brightness)).batch(16)
    tf_keras = pytest.importorskip("tf_keras")
    steps = []
    callback = tf_keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: steps.append(batch)
    )
    with pytest.raises(InputError, match="'soft' cannot learn.*\"prune\""):
        compress(student, "pqat", pairs, callbacks=[callback], verbose=0)
    assert steps == []


@pytest.mark.long
@pytest.mark.parametrize(
    "make",
    [
        keras.applications.MobileNetV2,
        keras.applications.MobileNetV3Small,
        keras.applications.EfficientNetB0,
        keras.applications.EfficientNetV2B0,
    ],
)
def test_backbones_of_keras_applications(make):
    student = make(input_shape=(32, 32, 3), weights=None, classes=4)
    quantized = quantizable(to_tf_keras(student, flat=True))
    random = np.random.default_rng(0)
    pixels = random.uniform(0, 255, (1, 32, 32, 3)).astype("float32")
    assert quantized(pixels, training=False).shape == (1, 4)
