"""What TensorFlow's converter does without a word, and we refuse.

Each case here ends in a file and exit code 0 on the stock path. Of the rest,
custom operations are in test_tflite_refusals.py and hard_sigmoid in
test_tf_keras_bridge.py.
"""

import numpy as np
import pytest

from keras_ft.export import ExportError
from keras_ft.export import RepresentativeDataError
from keras_ft.export import UnsupportedOpsError
from keras_ft.export import attempt
from keras_ft.export import to_tflite


@pytest.mark.parametrize(
    "spoiled",
    [
        lambda images: [],
        lambda images: np.full(images.shape, np.nan),
        lambda images: np.zeros_like(images),
        lambda images: images / 255.0,
        lambda images: images / 127.5 - 1.0,
        lambda images: images[:, ::2, ::2],
        lambda images: images[..., :1],
        lambda images: images[:10],
    ],
    ids=[
        "empty",
        "NaN",
        "zeros",
        "scaled to 0..1",
        "scaled to -1..1",
        "half the size",
        "grey",
        "too few",
    ],
)
@pytest.mark.parametrize("quantization", ["int8", "int8_io"])
def test_calibration(student, images, tmp_path, spoiled, quantization):
    with pytest.raises(RepresentativeDataError) as caught:
        to_tflite(
            student,
            tmp_path / "s.tflite",
            quantization,
            calibration=spoiled(images),
            samples=images,
        )
    assert caught.value.argument == "calibration"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("quantization", ["none", "dynamic"])
def test_a_file_without_weights(
    student, images, tmp_path, monkeypatch, quantization
):
    """`from_concrete_functions` leaves Keras 3's variables out."""
    monkeypatch.setattr(attempt, "convert", _without_weights)
    with pytest.raises(UnsupportedOpsError) as caught:
        to_tflite(student, tmp_path / "s.tflite", quantization, samples=images)
    assert "VAR_HANDLE" in caught.value.operations
    assert list(tmp_path.iterdir()) == []


def _without_weights(student, input_shape, scaling, quantization, _):
    import tensorflow as tf

    def classify(image):
        return {"probabilities": tf.nn.softmax(student(image))}

    spec = tf.TensorSpec((1, *input_shape), tf.float32, name="image")
    concrete = tf.function(classify).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], student
    )
    return converter.convert()


def test_calibration_on_what_the_app_will_not_see(
    student, images, normalization, tmp_path
):
    """Right in all that can be checked before: only the comparison shows it."""
    with pytest.raises(ExportError, match="Give more calibration images"):
        to_tflite(
            student,
            tmp_path / "s.tflite",
            "int8",
            calibration=images // 64,
            normalization=normalization,
            samples=images,
            min_agreement=1.0,
        )
    assert list(tmp_path.iterdir()) == []
