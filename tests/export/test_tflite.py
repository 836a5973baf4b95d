import dataclasses
import hashlib

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.errors import InputError
from keras_ft.export import ExportError
from keras_ft.export import ParityError
from keras_ft.export import QuantizationNotAppliedError
from keras_ft.export import RepresentativeDataError
from keras_ft.export import UnsupportedOpsError
from keras_ft.export import run_in_litert
from keras_ft.export import tflite
from keras_ft.export import to_tflite


def _keras_probabilities(student, images, normalization):
    scale, shift = normalization.scale_and_shift()
    logits = student(images * scale + shift, training=False)
    return keras.ops.convert_to_numpy(keras.ops.softmax(logits))


def test_float_file_says_what_keras_says(
    student, images, normalization, tmp_path
):
    path = tmp_path / "student.tflite"
    expected = _keras_probabilities(student, images, normalization)
    labels = np.argmax(expected, axis=-1)
    labels[:12] = (labels[:12] + 1) % 5

    result = to_tflite(
        student,
        path,
        normalization=normalization,
        samples=images,
        labels=labels,
    )

    received = run_in_litert(path, images.astype(np.float32))
    np.testing.assert_allclose(received, expected, atol=1e-5)
    assert len(set(np.argmax(expected, -1))) > 1, "the samples tell nothing"
    assert dataclasses.asdict(result) == {
        "path": path,
        "bytes": path.stat().st_size,
        "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        "quantization": "none",
        "agreement": 1.0,
        "max_error": pytest.approx(np.abs(received - expected).max(), abs=1e-6),
        "accuracy": 0.75,
        "samples": 48,
    }


def test_the_file_names_and_fixes_everything(student, images, tmp_path):
    from ai_edge_litert.interpreter import Interpreter

    path = tmp_path / "student.tflite"
    to_tflite(student, path, samples=images)
    interpreter = Interpreter(model_path=str(path))
    assert interpreter.get_signature_list() == {
        "classify": {"inputs": ["image"], "outputs": ["probabilities"]}
    }
    (image,) = interpreter.get_input_details()
    (probabilities,) = interpreter.get_output_details()
    assert image["shape"].tolist() == [1, 16, 16, 3]
    assert image["shape_signature"].tolist() == [1, 16, 16, 3]
    assert probabilities["shape"].tolist() == [1, 5]
    assert image["dtype"] == probabilities["dtype"] == np.float32


def test_quantised_files_are_smaller_float_outside_and_agree(
    student, images, normalization, tmp_path
):
    from ai_edge_litert.interpreter import Interpreter

    plain = to_tflite(
        student,
        tmp_path / "plain.tflite",
        normalization=normalization,
        samples=images,
    )
    for quantization in ("float16", "dynamic", "int8"):
        result = to_tflite(
            student,
            tmp_path / f"{quantization}.tflite",
            quantization,
            calibration=images,
            normalization=normalization,
        )
        # The file's own tables weigh much beside so few weights.
        assert result.bytes < 0.75 * plain.bytes
        assert result.agreement >= 0.95
        assert plain.max_error < result.max_error < 0.2
        interpreter = Interpreter(model_path=str(result.path))
        (image,) = interpreter.get_input_details()
        (probabilities,) = interpreter.get_output_details()
        assert image["dtype"] == probabilities["dtype"] == np.float32


def test_the_same_student_gives_the_same_bytes(
    student, images, normalization, tmp_path
):
    first, second = (
        to_tflite(
            student,
            tmp_path / f"{run}.tflite",
            "int8",
            calibration=images,
            normalization=normalization,
        )
        for run in (1, 2)
    )
    assert first.sha256 == second.sha256


def test_a_reloaded_student_gives_the_same_bytes(student, images, tmp_path):
    student.save(tmp_path / "student.keras")
    reloaded = keras.models.load_model(tmp_path / "student.keras")
    first = to_tflite(student, tmp_path / "1.tflite", samples=images)
    second = to_tflite(reloaded, tmp_path / "2.tflite", samples=images)
    assert first.sha256 == second.sha256


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
    make_student, images, normalization, tmp_path, policy
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

    expected = _keras_probabilities(plain, images, normalization)
    received = run_in_litert(result.path, images.astype(np.float32))
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
    student, images, normalization, tmp_path
):
    import tensorflow as tf

    scale, shift = normalization.scale_and_shift()
    batches = tf.data.Dataset.from_tensor_slices(
        (images * scale + shift, np.zeros(48, np.int32))
    ).batch(20)
    by_pixels = to_tflite(
        student,
        tmp_path / "pixels.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
    )
    by_batches = to_tflite(
        student,
        tmp_path / "batches.tflite",
        "int8",
        calibration=batches.repeat(),
        normalization=normalization,
        samples=images,
    )
    # Both saw the same 48 images, the dataset more than once.
    assert by_batches.max_error == pytest.approx(by_pixels.max_error, abs=0.02)


def test_nothing_is_printed(student, images, tmp_path, capfd):
    to_tflite(student, tmp_path / "s.tflite", "int8", calibration=images)
    assert capfd.readouterr() == ("", "")


def _nothing_left(folder):
    return list(folder.iterdir()) == []


class _Wrong(layers.Layer):
    """Another answer each time it is traced: Keras and the file differ."""

    def call(self, inputs):
        self.times = getattr(self, "times", 0) + 1
        return inputs * self.times


def test_a_file_that_disagrees_is_refused(images, tmp_path):
    image = keras.Input((16, 16, 3))
    x = _Wrong(name="wrong")(layers.GlobalAveragePooling2D()(image))
    student = keras.Model(image, layers.Rescaling(0.01)(x))
    with pytest.raises(ParityError, match=r"max_error .* sample \d+") as caught:
        to_tflite(
            student,
            tmp_path / "s.tflite",
            samples=images,
            class_names=("red", "green", "blue"),
        )
    assert caught.value.limit == 1e-4 < caught.value.measured
    assert 0 <= caught.value.worst < 48
    assert any(name in str(caught.value) for name in ("red", "green", "blue"))
    assert "standard layers" in str(caught.value)
    assert _nothing_left(tmp_path)


def test_an_older_file_survives_a_refusal(student, images, tmp_path):
    path = tmp_path / "student.tflite"
    path.write_bytes(b"old")
    with pytest.raises(ParityError, match="agreement") as caught:
        to_tflite(
            student,
            path,
            "int8",
            # Far darker than the samples: ranges are cut off.
            calibration=images // 64,
            samples=images,
            min_agreement=1.0,
        )
    assert caught.value.measured < 1.0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_foreign_operation_is_refused(images, tmp_path):
    class Inverse(layers.Layer):
        def call(self, inputs):
            eye = keras.ops.eye(5)
            return keras.ops.matmul(
                inputs, keras.ops.inv(eye + 0.1 * inputs[:, None])[0]
            )

    image = keras.Input((16, 16, 3))
    x = layers.Dense(5)(layers.GlobalAveragePooling2D()(image))
    student = keras.Model(image, Inverse()(layers.Rescaling(0.01)(x)))
    with pytest.raises(UnsupportedOpsError, match="MatrixInverse"):
        to_tflite(student, tmp_path / "s.tflite", samples=images)
    assert _nothing_left(tmp_path)


def test_a_quantisation_that_was_not_applied_is_refused(images, tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(image)
    tiny = keras.Model(image, layers.Dense(5)(x))
    with pytest.raises(QuantizationNotAppliedError, match="INT8"):
        to_tflite(tiny, tmp_path / "s.tflite", "dynamic", samples=images)
    assert _nothing_left(tmp_path)


def test_int8_without_int8_tensors_is_refused(
    student, images, tmp_path, monkeypatch
):
    def float_file(*arguments):
        *same, _, _ = arguments
        return convert(*same, "none", None)

    convert = tflite.convert
    monkeypatch.setattr(tflite, "convert", float_file)
    with pytest.raises(QuantizationNotAppliedError, match="'int8'"):
        to_tflite(student, tmp_path / "s.tflite", "int8", calibration=images)
    assert _nothing_left(tmp_path)


def test_worthless_calibration_is_refused(student, images, tmp_path):
    with pytest.raises(RepresentativeDataError) as caught:
        to_tflite(
            student,
            tmp_path / "s.tflite",
            "int8",
            calibration=np.zeros_like(images),
            samples=images,
        )
    assert caught.value.argument == "calibration"
    assert _nothing_left(tmp_path)


@pytest.mark.parametrize(
    "arguments, at_fault",
    [
        ({"path": "student.bin"}, "path"),
        ({"quantization": "int4"}, "quantization"),
        ({"quantization": "int8"}, "calibration"),
        ({"samples": None}, "samples"),
        ({"min_agreement": 95}, "min_agreement"),
        ({"class_names": ["a", "b"]}, "class_names"),
        ({"labels": np.zeros(3, np.int32)}, "labels"),
        ({"labels": np.full(48, 5)}, "labels"),
        ({"labels": np.zeros((48, 5))}, "labels"),
    ],
)
def test_bad_arguments_are_refused(
    student, images, tmp_path, arguments, at_fault
):
    given = {"path": "s.tflite", "samples": images, **arguments}
    with pytest.raises(InputError) as caught:
        to_tflite(student, tmp_path / given.pop("path"), **given)
    assert caught.value.argument == at_fault
    assert _nothing_left(tmp_path)


def test_a_normalization_of_other_channels_is_refused(
    student, images, tmp_path
):
    class TwoChannels:
        def scale_and_shift(self):
            return np.ones(2, np.float32), np.zeros(2, np.float32)

    with pytest.raises(InputError, match="3 channels"):
        to_tflite(
            student,
            tmp_path / "s.tflite",
            normalization=TwoChannels(),
            samples=images,
        )


def test_a_student_that_ends_in_softmax_is_refused(
    make_student, images, tmp_path
):
    with pytest.raises(InputError, match="Leave out the last softmax"):
        to_tflite(
            make_student("softmax"), tmp_path / "s.tflite", samples=images
        )


def test_a_diverged_student_is_refused(student, images, tmp_path):
    head = student.get_layer("head")
    head.bias.assign(np.full(5, np.nan))
    with pytest.raises(InputError, match="diverged"):
        to_tflite(student, tmp_path / "s.tflite", samples=images)


def test_a_free_image_size_is_refused(images, tmp_path):
    image = keras.Input((None, None, 3))
    x = layers.GlobalAveragePooling2D()(image)
    student = keras.Model(image, layers.Dense(5)(x))
    with pytest.raises(InputError, match="fixed input_shape"):
        to_tflite(student, tmp_path / "s.tflite", samples=images)


def test_a_subclassed_student_is_refused(images, tmp_path):
    class Subclassed(keras.Model):
        def call(self, inputs):
            return inputs

    with pytest.raises(InputError, match="Functional or Sequential"):
        to_tflite(Subclassed(), tmp_path / "s.tflite", samples=images)


def test_a_student_quantised_by_keras_is_refused(student, images, tmp_path):
    student.quantize("int8", filters="head")
    with pytest.raises(ExportError, match="before `quantize"):
        to_tflite(student, tmp_path / "s.tflite", samples=images)


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
