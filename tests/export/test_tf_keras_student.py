from collections import Counter

import keras
import numpy as np
import pytest

from keras_ft import zoo
from keras_ft.compression import compress
from keras_ft.compression.quantizing import quantizable
from keras_ft.compression.tfmot import tfmot
from keras_ft.errors import InputError
from keras_ft.export import run_in_litert
from keras_ft.export import to_tf_keras
from keras_ft.export import to_tflite

tf = pytest.importorskip("tensorflow")


def _dataset(images, normalization, classes=5):
    scale, shift = normalization.scale_and_shift()
    labels = np.arange(len(images)) % classes
    inputs = (images * scale + shift).astype(np.float32)
    return tf.data.Dataset.from_tensor_slices((inputs, labels)).batch(16)


def _float_tensors(path):
    """Names of float tensors of a file that are not its input or output."""
    from ai_edge_litert import schema_py_generated as schema

    (graph,) = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0).subgraphs
    ends = {*graph.inputs, *graph.outputs}
    return [
        tensor.name.decode()
        for index, tensor in enumerate(graph.tensors)
        if tensor.type == schema.TensorType.FLOAT32 and index not in ends
    ]


def _quantized(student, images, normalization, **options):
    data = _dataset(images, normalization, student.output_shape[-1])
    return compress(student, "qat", data, verbose=0, **options)


def test_an_8_bit_student_becomes_a_full_integer_file(
    student, images, normalization, tmp_path
):
    small = _quantized(student, images, normalization)
    options = {"calibration": images, "normalization": normalization}
    first, second, io = (
        to_tflite(small, tmp_path / f"{name}.tflite", kind, **options)
        for name, kind in (("a", "int8"), ("b", "int8"), ("c", "int8_io"))
    )
    assert _float_tensors(first.path) == _float_tensors(io.path) == []
    assert first.sha256 == second.sha256
    assert first.agreement >= 0.95

    scale, shift = normalization.scale_and_shift()
    inputs = (images * scale + shift).astype(np.float32)
    expected = np.argmax(small(inputs, training=False), axis=-1)
    received = run_in_litert(first.path, images.astype(np.float32))
    agreement = np.mean(np.argmax(received, axis=-1) == expected)
    assert agreement == pytest.approx(first.agreement)


def test_an_8_bit_student_has_no_other_fallback(
    student, images, normalization, tmp_path
):
    small = _quantized(student, images, normalization)
    with pytest.raises(InputError, match="int8_io"):
        to_tflite(
            small,
            tmp_path / "small.tflite",
            "int8",
            calibration=images,
            normalization=normalization,
            fallback="dynamic",
        )
    assert list(tmp_path.iterdir()) == []


def test_zeros_and_clusters_arrive_in_the_file(
    student, images, normalization, tmp_path
):
    from ai_edge_litert import schema_py_generated as schema

    data = _dataset(images, normalization)
    small = compress(student, "pcqat", data, clusters=8, verbose=0)
    result = to_tflite(
        small,
        tmp_path / "small.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
        min_agreement=0.5,
    )
    model = schema.ModelT.InitFromPackedBuf(result.path.read_bytes(), 0)
    (graph,) = model.subgraphs
    (kernel,) = (
        np.asarray(model.buffers[tensor.buffer].data, np.uint8).view(np.int8)
        for tensor in graph.tensors
        if tensor.shape.tolist() == [16, 3, 3, 16]
    )
    assert np.mean(kernel == 0) >= 0.5
    assert max(len(set(channel)) for channel in kernel.reshape(16, -1)) <= 8


@pytest.mark.parametrize("quantization", ["none", "dynamic", "float16"])
def test_a_pruned_student_is_exported_like_any_other(
    student, images, normalization, tmp_path, quantization
):
    pruned = compress(
        student, "prune", _dataset(images, normalization), verbose=0
    )
    result = to_tflite(
        pruned,
        tmp_path / "pruned.tflite",
        quantization,
        normalization=normalization,
        samples=images,
    )
    assert result.agreement >= 0.97
    if quantization == "none":
        assert result.max_error < 1e-4


@pytest.mark.parametrize("quantization", ["none", "dynamic", "float16"])
def test_8_bits_are_not_written_as_something_else(
    student, images, normalization, tmp_path, quantization
):
    small = _quantized(student, images, normalization)
    with pytest.raises(InputError, match="Invalid `quantization`.*int8"):
        to_tflite(
            small, tmp_path / "small.tflite", quantization, samples=images
        )
    assert not list(tmp_path.iterdir())


def test_ranges_that_were_never_trained_are_refused(student, images, tmp_path):
    untrained = quantizable(to_tf_keras(student))
    also = tfmot().quantization.keras.quantize_model(to_tf_keras(student))
    for network in (untrained, also):
        with pytest.raises(InputError, match="initial ranges"):
            to_tflite(
                network, tmp_path / "bad.tflite", "int8", calibration=images
            )
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        "resnet8",
        "mobilenet_v2_small",
        *(
            pytest.param(name, marks=pytest.mark.long)
            for name in ("resnet20", "wrn16_1", "vgg8")
        ),
    ],
)
def test_zoo_networks_become_full_integer_files(name, normalization, tmp_path):
    from ai_edge_litert import schema_py_generated as schema

    random = np.random.default_rng(0)
    levels = random.integers(0, 200, (48, 1, 1, 3))
    pictures = random.integers(0, 55, (48, 32, 32, 3)) + levels
    images = pictures.astype(np.uint8)
    keras.utils.set_random_seed(0)
    small = _quantized(zoo.build(name), images, normalization, epochs=2)
    result = to_tflite(
        small,
        tmp_path / "small.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
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
