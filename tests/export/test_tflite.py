import dataclasses
import gzip
import hashlib

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from keras import layers

from keras_ft.export import run_in_litert
from keras_ft.export import to_tflite


def _median_margin(probabilities):
    ordered = np.sort(np.log(probabilities), axis=-1)
    return np.median(ordered[:, -1] - ordered[:, -2])


def test_float_file_says_what_keras_says(
    exported, exported_student, images, keras_probabilities
):
    result = exported("none")
    path = result.path
    expected = keras_probabilities(exported_student)
    received = run_in_litert(path, images)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert len(set(np.argmax(expected, -1))) > 1, "the samples tell nothing"
    assert dataclasses.asdict(result) == {
        "path": path,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "gzip_bytes": len(gzip.compress(path.read_bytes(), mtime=0)),
        "quantization": "none",
        "requested": "none",
        "refusal": None,
        "agreement": 1.0,
        "max_error": pytest.approx(np.abs(received - expected).max(), abs=1e-6),
        "accuracy": 0.75,
        "keras_accuracy": 0.75,
        "logit_step": None,
        "median_margin": pytest.approx(_median_margin(expected), rel=1e-3),
        "samples": 48,
        "outputs": (
            {
                "name": "probabilities",
                "shape": (5,),
                "activation": "softmax",
                "agreement": 1.0,
                "max_error": result.max_error,
                "mean_error": None,
            },
        ),
    }


def test_the_file_names_and_fixes_everything(exported):
    interpreter = Interpreter(model_path=str(exported("none").path))
    assert interpreter.get_signature_list() == {
        "classify": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    (image,) = interpreter.get_input_details()
    (probabilities,) = interpreter.get_output_details()
    assert image["shape"].tolist() == [1, 16, 16, 3]
    assert image["shape_signature"].tolist() == [1, 16, 16, 3]
    assert probabilities["shape"].tolist() == [1, 5]
    assert image["dtype"] == probabilities["dtype"] == np.float32


@pytest.mark.parametrize("quantization", ["float16", "dynamic", "int8"])
def test_quantized_files_are_smaller_float_outside_and_agree(
    exported, quantization
):
    plain, result = exported("none"), exported(quantization)
    # The file's own tables weigh much beside so few weights.
    assert result.bytes < 0.75 * plain.bytes
    assert result.agreement >= 0.95
    assert plain.max_error < result.max_error < 0.2
    interpreter = Interpreter(model_path=str(result.path))
    (image,) = interpreter.get_input_details()
    (probabilities,) = interpreter.get_output_details()
    assert image["dtype"] == probabilities["dtype"] == np.float32


def test_the_same_student_gives_the_same_bytes_and_prints_nothing(
    exported, exported_student, images, normalization, tmp_path, capfd
):
    first = exported("int8")
    capfd.readouterr()
    second = to_tflite(
        exported_student,
        tmp_path / "again.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
    )
    assert capfd.readouterr() == ("", "")
    assert first.sha256 == second.sha256


def test_a_reloaded_student_gives_the_same_bytes(
    exported, exported_student, images, normalization, tmp_path
):
    exported_student.save(tmp_path / "student.keras")
    reloaded = to_tflite(
        keras.models.load_model(tmp_path / "student.keras"),
        tmp_path / "reloaded.tflite",
        normalization=normalization,
        samples=images,
    )
    assert reloaded.sha256 == exported("none").sha256


def test_exporting_changes_nothing_in_the_student(student, images, tmp_path):
    student.compile("sgd", "mse")
    student.fit(
        np.zeros((4, 16, 16, 3), np.float32),
        np.zeros((4, 5), np.float32),
        verbose=0,
    )
    before = [keras.ops.copy(value) for value in student.variables]
    step = student.train_function
    to_tflite(student, tmp_path / "s.tflite", "int8", calibration=images)
    assert len(before) == len(student.variables)
    for old, new in zip(before, student.variables, strict=True):
        np.testing.assert_array_equal(
            keras.ops.convert_to_numpy(old), keras.ops.convert_to_numpy(new)
        )
    assert student.trainable and student.train_function is step


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision_is_exported_in_float32(
    make_student, images, normalization, keras_probabilities, tmp_path, policy
):
    keras.config.set_dtype_policy(policy)
    mixed = make_student()
    keras.config.set_dtype_policy("float32")
    plain = make_student()
    plain.set_weights(mixed.get_weights())

    result = to_tflite(
        mixed,
        tmp_path / "mixed.tflite",
        normalization=normalization,
        samples=images,
    )

    expected = keras_probabilities(plain)
    received = run_in_litert(result.path, images)
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert mixed.get_layer("stem").compute_dtype == policy[len("mixed_") :]


def test_a_student_with_its_own_rescaling_takes_pixels(images, tmp_path):
    student = keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            layers.Rescaling(1 / 127.5, -1.0),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(4),
        ]
    )
    result = to_tflite(student, tmp_path / "s.tflite", samples=images)
    assert result.max_error < 1e-5 and result.accuracy is None


def test_a_dataset_of_training_batches_calibrates(
    exported, exported_student, images, normalization, tmp_path
):
    import tensorflow as tf

    scale, shift = normalization.scale_and_shift()
    batches = tf.data.Dataset.from_tensor_slices(
        (images * scale + shift, np.zeros(48, np.int32))
    ).batch(20)
    by_batches = to_tflite(
        exported_student,
        tmp_path / "batches.tflite",
        "int8",
        calibration=batches.repeat(),
        normalization=normalization,
        samples=images,
    )
    # Both saw the same 48 images, the dataset more than once.
    by_pixels = exported("int8")
    assert by_batches.max_error == pytest.approx(by_pixels.max_error, abs=0.02)


def test_a_zoo_network_goes_through(tmp_path):
    from keras_ft import zoo

    network = zoo.resnet8(classes=4, input_shape=(28, 28, 3))
    head = network.get_layer("head")
    kernel = head.kernel
    kernel.assign(8.0 * kernel)
    random = np.random.default_rng(3)
    blocks = random.integers(0, 256, (40, 4, 4, 3))
    pictures = blocks.repeat(7, 1).repeat(7, 2).astype(np.uint8)
    plain, small = (
        to_tflite(
            network,
            tmp_path / f"{quantization}.tflite",
            quantization,
            calibration=pictures,
            min_agreement=0.9,
        )
        for quantization in ("none", "int8")
    )
    assert small.bytes < 0.4 * plain.bytes
