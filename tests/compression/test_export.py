"""What `to_tflite` makes of compressed students."""

from collections import Counter

import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from keras import layers

from keras_ft import zoo
from keras_ft.compression import compress
from keras_ft.compression.quantization_aware import quantizable
from keras_ft.compression.tfmot import tfmot
from keras_ft.errors import InputError
from keras_ft.export import run_in_litert
from keras_ft.export import to_tf_keras
from keras_ft.export import to_tflite

tf = pytest.importorskip("tensorflow")


class HalfScale:
    """Pixels to -1..1."""

    def scale_and_shift(self):
        return np.full(3, 1 / 127.5, np.float32), np.full(3, -1, np.float32)


def _scaled(images):
    return images.astype(np.float32) / 127.5 - 1


def _dataset(images, classes):
    labels = np.arange(len(images)) % classes
    pairs = (_scaled(images), labels)
    return tf.data.Dataset.from_tensor_slices(pairs).batch(16)


@pytest.fixture(scope="module")
def images():
    """48 pictures of random levels and noise, uint8."""
    random = np.random.default_rng(7)
    levels = random.uniform(0, 255, (48, 1, 1, 3))
    pictures = levels + random.normal(0, 20, (48, 16, 16, 3))
    return np.clip(pictures, 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def student():
    keras.utils.set_random_seed(0)
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Conv2D(16, 3, padding="same", use_bias=False),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Conv2D(16, 3, strides=2, padding="same"),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            # Spread logits, as a trained network has; others nearly tie.
            layers.Dense(
                5, kernel_initializer=keras.initializers.RandomNormal(stddev=4)
            ),
        ],
        name="student",
    )


@pytest.fixture(scope="module")
def data(images):
    return _dataset(images, classes=5)


@pytest.fixture(scope="module")
def qat_student(student, data):
    return compress(student, "qat", data, verbose=0)


@pytest.fixture
def write_file(images):
    """A function that writes a student as int8 unless told otherwise."""

    def write(student, path, quantization="int8", **options):
        return to_tflite(
            student,
            path,
            quantization,
            calibration=images,
            normalization=HalfScale(),
            **options,
        )

    return write


def _float_tensors(path):
    """Names of float tensors of a file that are not its input or output."""
    (graph,) = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs
    ends = {*graph.inputs, *graph.outputs}
    return [
        tensor.name.decode()
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == schema.TensorType.FLOAT32 and index not in ends
    ]


def test_an_8_bit_student_becomes_a_full_integer_file(
    qat_student, images, write_file, tmp_path
):
    first = write_file(qat_student, tmp_path / "first.tflite")
    second = write_file(qat_student, tmp_path / "second.tflite")
    io = write_file(qat_student, tmp_path / "io.tflite", "int8_io")
    assert _float_tensors(first.path) == _float_tensors(io.path) == []
    assert first.sha256 == second.sha256
    assert first.agreement >= 0.95

    expected = np.argmax(qat_student(_scaled(images), training=False), axis=-1)
    received = run_in_litert(first.path, images)
    agreement = np.mean(np.argmax(received, axis=-1) == expected)
    assert agreement == pytest.approx(first.agreement)


def test_an_8_bit_student_has_no_other_fallback(
    qat_student, write_file, tmp_path
):
    with pytest.raises(InputError, match="int8_io"):
        write_file(qat_student, tmp_path / "small.tflite", fallback="dynamic")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantization", ["none", "dynamic", "float16"])
def test_8_bits_are_not_written_as_something_else(
    qat_student, write_file, tmp_path, quantization
):
    with pytest.raises(InputError, match="Invalid `quantization`.*int8"):
        write_file(qat_student, tmp_path / "small.tflite", quantization)
    assert not list(tmp_path.iterdir())


@pytest.mark.long
def test_zeros_and_clusters_arrive_in_the_file(
    student, data, write_file, tmp_path
):
    small = compress(student, "pcqat", data, clusters=8, verbose=0)
    result = write_file(small, tmp_path / "small.tflite", min_agreement=0.5)
    model = schema.ModelT.InitFromPackedBuf(result.path.read_bytes(), 0)
    (graph,) = model.subgraphs
    (kernel,) = (
        np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        for tensor in graph.tensors
        if tensor.shape.tolist() == [16, 3, 3, 16]
    )
    assert np.mean(kernel == 0) >= 0.5
    assert max(len(set(channel)) for channel in kernel.reshape(16, -1)) <= 8


@pytest.fixture(scope="module")
def pruned_student(student, data):
    return compress(student, "prune", data, verbose=0)


@pytest.mark.parametrize("quantization", ["none", "dynamic", "float16"])
def test_a_pruned_student_is_exported_like_any_other(
    pruned_student, write_file, tmp_path, quantization
):
    result = write_file(
        pruned_student, tmp_path / "pruned.tflite", quantization
    )
    assert result.agreement >= 0.97
    if quantization == "none":
        assert result.max_error < 1e-4


def test_ranges_that_were_never_trained_are_refused(
    student, write_file, tmp_path
):
    untrained = quantizable(to_tf_keras(student))
    also = tfmot().quantization.keras.quantize_model(to_tf_keras(student))
    for network in (untrained, also):
        with pytest.raises(InputError, match="initial ranges"):
            write_file(network, tmp_path / "bad.tflite")
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet8",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("mobilenet_v2_small", "resnet20", "wrn16_1", "vgg8")
        ),
    ],
)
def test_zoo_networks_become_full_integer_files(name, tmp_path):
    random = np.random.default_rng(0)
    levels = random.integers(0, 200, (48, 1, 1, 3))
    pictures = random.integers(0, 55, (48, 32, 32, 3)) + levels
    images = pictures.astype(np.uint8)
    keras.utils.set_random_seed(0)
    student = zoo.build(name)
    data = _dataset(images, student.output_shape[-1])
    small = compress(student, "qat", data, epochs=2, verbose=0)
    result = to_tflite(
        small,
        tmp_path / "small.tflite",
        "int8",
        calibration=images,
        normalization=HalfScale(),
        # Hardly trained: its classes nearly tie.
        min_agreement=0.0,
    )
    assert _float_tensors(result.path) == []
    (graph,) = schema.ModelT.InitFromPackedBuf(
        result.path.read_bytes(), 0
    ).subgraphs
    types = Counter(tensor.type for tensor in graph.tensors)
    assert types[schema.TensorType.FLOAT32] == 2
    assert result.max_error < 0.1
