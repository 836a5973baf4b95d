"""What is not handed over, and that nothing is left of it."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_ft.errors import InputError
from keras_ft.export import ExportError
from keras_ft.export import ParityError
from keras_ft.export import QuantizationNotAppliedError
from keras_ft.export import UnsupportedOpsError
from keras_ft.export import to_tflite
from keras_ft.export.tflite import write_if_faithful


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
    with pytest.raises(
        ParityError, match=r"max_error.* sample is number \d+"
    ) as caught:
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


def test_a_quantization_that_was_not_applied_is_refused(images, tmp_path):
    image = keras.Input((16, 16, 3))
    x = layers.GlobalAveragePooling2D()(image)
    tiny = keras.Model(image, layers.Dense(5)(x))
    with pytest.raises(QuantizationNotAppliedError, match="INT8"):
        to_tflite(tiny, tmp_path / "s.tflite", "dynamic", samples=images)
    assert _nothing_left(tmp_path)


def test_int8_without_int8_tensors_is_refused(exported, images, tmp_path):
    with pytest.raises(QuantizationNotAppliedError, match="'int8'"):
        write_if_faithful(
            exported("none").path.read_bytes(),
            tmp_path / "s.tflite",
            "int8",
            images,
            np.zeros((len(images), 5)),
        )
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


def test_probabilities_that_no_graph_shows_are_refused(
    make_student, images, normalization, tmp_path
):
    """A softmax of one's own arithmetic, which would be softened twice."""
    logits = make_student()
    powers = keras.ops.exp(logits.output)
    shares = powers / keras.ops.sum(powers, axis=-1, keepdims=True)
    student = keras.Model(logits.input, shares)
    with pytest.raises(InputError, match="Leave out the last softmax"):
        to_tflite(
            student,
            tmp_path / "s.tflite",
            samples=images,
            normalization=normalization,
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


def test_a_student_quantized_by_keras_is_refused(student, images, tmp_path):
    student.quantize("int8", filters="head")
    with pytest.raises(ExportError, match="before `quantize"):
        to_tflite(student, tmp_path / "s.tflite", samples=images)
