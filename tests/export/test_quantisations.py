"""Integers outside, files of litert-quantizer, and what stands in."""

import importlib.util

import numpy as np
import pytest
from keras_ft.export.logit_step import diagnosis
from keras_ft.export.logit_step import logit_step
from keras_ft.export.logit_step import median_margin

from keras_ft.errors import InputError
from keras_ft.export import ParityError
from keras_ft.export import litert_quantizer
from keras_ft.export import run_in_litert
from keras_ft.export import to_tflite

needs_litert_quantizer = pytest.mark.skipif(
    importlib.util.find_spec("litert_quantizer") is None,
    reason="litert-quantizer is an extra of its own",
)


def test_int8_io_takes_a_camera_s_bytes(
    student, images, normalization, tmp_path
):
    from ai_edge_litert.interpreter import Interpreter

    result = to_tflite(
        student,
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
    "quantization, share", [("dynamic_wi8", 0.75), ("dynamic_wi4", 0.65)]
)
def test_litert_quantizer_s_files_pass_the_same_gate(
    student, images, normalization, tmp_path, quantization, share
):
    common = {"normalization": normalization, "samples": images}
    plain = to_tflite(student, tmp_path / "plain.tflite", **common)
    first, second = (
        to_tflite(
            student,
            tmp_path / f"{run}.tflite",
            quantization,
            # Four bits are hard on a network this small.
            min_agreement=0.8,
            **common,
        )
        for run in (1, 2)
    )
    assert first.bytes < share * plain.bytes
    assert first.agreement >= 0.8 and first.max_error > plain.max_error
    assert first.sha256 == second.sha256
    with pytest.raises(ParityError, match="Keras"):
        to_tflite(
            _with_one_great_weight(student),
            tmp_path / "refused.tflite",
            quantization,
            min_agreement=1.0,
            **common,
        )


def test_without_litert_quantizer_its_kinds_are_refused(
    student, images, tmp_path, monkeypatch
):
    monkeypatch.setattr(litert_quantizer, "PACKAGE", "not_installed_at_all")
    with pytest.raises(InputError, match="pip install litert-quantizer"):
        to_tflite(student, tmp_path / "s.tflite", "dynamic_wi4", samples=images)


def _with_one_great_weight(student):
    """One weight beside which all others of its channel round to nothing."""
    for name in ("stem", "stage1"):
        kernel = student.get_layer(name).kernel
        values = np.array(kernel)
        values[0, 0, 0] = 300.0
        kernel.assign(values)
    head = student.get_layer("head").kernel
    values = np.array(head)
    values[0] = 300.0 + np.arange(values.shape[1])
    head.assign(values)
    return student


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
    given = {
        "calibration": images,
        "normalization": normalization,
        "class_names": ("ape", "bee", "cow", "doe", "eel"),
    }
    wide = _with_wide_logits(student)
    with pytest.raises(ParityError, match="8 bits are too coarse") as caught:
        to_tflite(wide, tmp_path / "s.tflite", "int8", **given)
    assert "agreement" in str(caught.value)
    assert 'fallback="dynamic"' in str(caught.value)
    assert list(tmp_path.iterdir()) == []

    result = to_tflite(
        wide,
        tmp_path / "s.tflite",
        "int8",
        fallback="float16",
        min_agreement=0.9,
        **given,
    )
    assert (result.quantization, result.requested) == ("float16", "int8")
    assert "8 bits are too coarse" in result.refusal
    assert result.logit_step is None
    assert result.agreement >= 0.9


def test_a_good_file_needs_no_fallback(
    student, images, normalization, tmp_path
):
    result = to_tflite(
        student,
        tmp_path / "s.tflite",
        "int8",
        calibration=images,
        normalization=normalization,
        fallback="dynamic",
    )
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


def test_margin_and_diagnosis():
    logits = np.array([[1.0, 4.0, 2.0], [0.0, 0.0, -9.0], [5.0, 1.0, 0.5]])
    assert median_margin(logits) == 2.0
    assert diagnosis(2.0, 2.0) == diagnosis(None, 2.0) == ""
    assert "steps of 2.5, more than the 2 " in diagnosis(2.5, 2.0)
