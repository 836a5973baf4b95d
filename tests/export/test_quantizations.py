"""Integers outside, files of litert-quantizer, and fallbacks."""

import importlib.util
import sys

import keras
import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_ft.errors import InputError
from keras_ft.export import ParityError
from keras_ft.export import run_in_litert
from keras_ft.export import to_tflite
from keras_ft.export.parity import logit_step

needs_litert_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None,
    reason="litert-quantizer is an extra of its own",
)


def test_int8_io_takes_a_camera_s_bytes(
    exported_student, images, normalization, tmp_path
):
    result = to_tflite(
        exported_student,
        tmp_path / "s.tflite",
        "int8_io",
        # No black and no white among them: the range must be 0..255 anyway.
        calibration=np.clip(images, 20, 240),
        normalization=normalization,
        samples=images,
        min_agreement=0.8,
    )
    interpreter = Interpreter(model_path=str(result.path))
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    (probabilities,) = interpreter.get_output_details()
    assert image["dtype"] == probabilities["dtype"] == np.uint8
    assert image["quantization"] == (1.0, 0)
    assert probabilities["quantization"] == (1 / 256, 0)
    interpreter.set_tensor(image["index"], images[:1])
    interpreter.invoke()
    raw = interpreter.get_tensor(probabilities["index"])
    expected = run_in_litert(result.path, images[:1])
    np.testing.assert_array_equal(raw / 256, expected)
    assert result.max_error < 0.2


@needs_litert_quantizer
@pytest.mark.parametrize(
    "quantization, share",
    [
        ("dynamic_wi8", 0.75),
        pytest.param("dynamic_wi4", 0.65, marks=pytest.mark.long),
    ],
)
def test_litert_quantizer_s_files_pass_the_same_gate(
    exported,
    exported_student,
    images,
    normalization,
    tmp_path,
    quantization,
    share,
):
    plain, first = exported("none"), exported(quantization)
    common = {"normalization": normalization, "samples": images}
    second = to_tflite(
        exported_student,
        tmp_path / "again.tflite",
        quantization,
        min_agreement=0.8,
        **common,
    )
    assert first.bytes < share * plain.bytes
    assert first.agreement >= 0.8 and first.max_error > plain.max_error
    assert first.sha256 == second.sha256
    with pytest.raises(ParityError, match="Keras"):
        to_tflite(
            _with_one_great_weight(exported_student),
            tmp_path / "refused.tflite",
            quantization,
            min_agreement=1.0,
            **common,
        )


def test_without_litert_quantizer_its_kinds_are_refused(
    student, images, tmp_path, monkeypatch
):
    monkeypatch.setitem(sys.modules, "litert_quantizer", None)
    with pytest.raises(InputError, match="pip install litert-quantizer"):
        to_tflite(student, tmp_path / "s.tflite", "dynamic_wi4", samples=images)


def _with_one_great_weight(student):
    """One weight beside which all others of its channel round to nothing."""
    copy = keras.models.clone_model(student)
    copy.set_weights(student.get_weights())
    for name in ("stem", "stage1"):
        kernel = copy.get_layer(name).kernel
        values = np.array(kernel)
        values[0, 0, 0] = 300.0
        kernel.assign(values)
    head = copy.get_layer("head").kernel
    values = np.array(head)
    values[0] = 300.0 + np.arange(values.shape[1])
    head.assign(values)
    return copy


def _with_wide_logits(student):
    """Two classes that are near each other, one that is far below."""
    head = student.get_layer("head")
    kernel = np.array(head.kernel)
    kernel[:, 1] = kernel[:, 0] + 1e-2
    kernel[:, 2:] = -300.0
    head.kernel.assign(kernel)
    return student


def test_a_coarse_step_is_named_and_the_fallback_taken(
    student, images, normalization, tmp_path
):
    result = to_tflite(
        _with_wide_logits(student),
        tmp_path / "s.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
        class_names=("ape", "bee", "cow", "doe", "eel"),
        fallback="float16",
        min_agreement=0.9,
    )
    assert (result.quantization, result.requested) == ("float16", "int8")
    assert "8 bits are too coarse" in result.refusal
    assert "(agreement)" in result.refusal
    assert 'fallback="dynamic"' in result.refusal
    assert result.logit_step is None
    assert result.agreement >= 0.9
    assert list(tmp_path.iterdir()) == [result.path]


def test_a_good_file_needs_no_fallback(exported):
    result = exported("int8")
    assert result.quantization == result.requested == "int8"
    assert result.refusal is None
    assert 0 < result.logit_step < result.median_margin
    assert result.logit_step == logit_step(result.path.read_bytes())


@pytest.mark.parametrize(
    "quantization, fallback, at_fault",
    [
        ("dynamic", "int7", "fallback"),
        ("none", "int8", "calibration"),
        ("int8_io", None, "calibration"),
    ],
)
def test_a_fallback_is_checked_before_anything(
    student, images, tmp_path, quantization, fallback, at_fault
):
    with pytest.raises(InputError) as caught:
        to_tflite(
            student,
            tmp_path / "s.tflite",
            quantization,
            samples=images,
            fallback=fallback,
        )
    assert caught.value.argument == at_fault
