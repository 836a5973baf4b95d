"""What TensorFlow's converter does without a word, and we refuse.

Each case here ends in a file and exit code 0 on the stock path. Of the rest,
custom operations are in test_tflite_refusals.py and hard_sigmoid in
test_tf_keras_layers.py.
"""

import numpy as np
import pytest

from keras_ft.export import ParityError
from keras_ft.export import RepresentativeDataError
from keras_ft.export import UnsupportedOpsError
from keras_ft.export import to_tflite
from keras_ft.export.tflite import write_if_faithful


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
def test_calibration(exported_student, images, tmp_path, spoiled, quantization):
    with pytest.raises(RepresentativeDataError) as caught:
        to_tflite(
            exported_student,
            tmp_path / "s.tflite",
            quantization,
            calibration=spoiled(images),
            samples=images,
        )
    assert caught.value.argument == "calibration"
    assert list(tmp_path.iterdir()) == []


@pytest.fixture(scope="module")
def without_weights(exported_student):
    """`from_concrete_functions` leaves Keras 3's variables out."""
    import tensorflow as tf

    def classify(image):
        return {"probabilities": tf.nn.softmax(exported_student(image))}

    spec = tf.TensorSpec((1, 16, 16, 3), tf.float32, name="image")
    concrete = tf.function(classify).get_concrete_function(spec)
    converter = tf.lite.TFLiteConverter.from_concrete_functions(
        [concrete], exported_student
    )
    return converter.convert()


@pytest.mark.parametrize("quantization", ["none", "dynamic"])
def test_a_file_without_weights(
    without_weights, images, tmp_path, quantization
):
    with pytest.raises(UnsupportedOpsError) as caught:
        write_if_faithful(
            without_weights,
            tmp_path / "s.tflite",
            quantization,
            images,
            np.zeros((len(images), 5)),
        )
    assert "VAR_HANDLE" in caught.value.operations
    assert list(tmp_path.iterdir()) == []


def test_calibration_on_what_the_app_will_not_see(
    exported_student, images, normalization, tmp_path
):
    """Right in all that can be checked before: only the comparison shows it."""
    path = tmp_path / "student.tflite"
    path.write_bytes(b"old")
    with pytest.raises(
        ParityError, match="Give more calibration images"
    ) as caught:
        to_tflite(
            exported_student,
            path,
            "int8",
            # Far darker than the samples: ranges are cut off.
            calibration=images // 64,
            normalization=normalization,
            samples=images,
            min_agreement=1.0,
        )
    assert caught.value.metric == "agreement" and caught.value.measured < 1.0
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
