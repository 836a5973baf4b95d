"""What is faster on the processor of this machine, and where it is used."""

import keras
import pytest
import tensorflow as tf

from keras_ft.acceleration import fused_norm
from keras_ft.acceleration import processor


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("gains", [False, True])
def test_the_fused_kernel_is_faster_with_onednn_and_in_bfloat16_where_that_does(
    monkeypatch, onednn, gains
):
    monkeypatch.setattr(processor, "has_onednn", lambda: onednn)
    monkeypatch.setattr(processor, "gains_from_bfloat16", lambda: gains)
    assert fused_norm.is_faster("float32") is onednn
    assert fused_norm.is_faster("bfloat16") is gains
    assert not fused_norm.is_faster("float16")
    assert not fused_norm.is_faster("float64")


@pytest.mark.parametrize(
    ("setting", "answer"),
    [("0", False), ("false", False), ("1", True), ("TRUE", True)],
)
def test_onednn_is_read_as_tensorflow_reads_it(monkeypatch, setting, answer):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    assert processor.has_onednn() is answer


class _Gpu:
    device_type = "GPU"


@pytest.mark.parametrize("where", ["GPU", "jax"])
def test_elsewhere_keras_keeps_its_own_path(monkeypatch, where):
    assert processor.is_used_alone()
    if where == "GPU":
        visible = [*tf.config.get_visible_devices(), _Gpu()]
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda: visible)
    else:
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert not processor.is_used_alone()
    assert not fused_norm.is_faster()
    layer = keras.layers.BatchNormalization(name="norm")
    with fused_norm.fused(layer):
        assert "call" not in vars(layer)


@pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="never on other backends"
)
@pytest.mark.parametrize(
    ("flags", "onednn", "gains"),
    [
        ("fpu avx512f amx_bf16 amx_tile", "1", True),
        ("fpu avx512_bf16", None, True),
        ("fpu avx512_bf16", "0", False),
        ("fpu avx2 avx512f avx512_bf16x", "1", False),
        (None, "1", False),
    ],
)
def test_detects_bfloat16(flags, onednn, gains, tmp_path, monkeypatch):
    file = tmp_path / "cpuinfo"
    if flags is not None:
        file.write_text(f"model name\t: amx_bf16 X\nflags\t\t: {flags}\n")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if onednn is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    assert processor.gains_from_bfloat16(file) is gains
