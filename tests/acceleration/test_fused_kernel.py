"""Where the fused kernel is used, and when it counts as faster."""

import keras
import pytest
import tensorflow as tf

from keras_ft.acceleration import fused_kernel
from keras_ft.acceleration import processor
from keras_ft.acceleration.fused_norm import fused


@pytest.mark.parametrize("onednn", [False, True])
@pytest.mark.parametrize("gains", [False, True])
def test_it_pays_with_onednn_and_in_bfloat16_where_that_does(
    monkeypatch, onednn, gains
):
    monkeypatch.setattr(processor, "has_onednn", lambda: onednn)
    monkeypatch.setattr(processor, "gains_from_bfloat16", lambda: gains)
    assert fused_kernel.pays("float32") is onednn
    assert fused_kernel.pays("bfloat16") is gains
    assert not fused_kernel.pays("float16")
    assert not fused_kernel.pays("float64")


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
    assert fused_kernel.applies()
    if where == "GPU":
        visible = [*tf.config.get_visible_devices(), _Gpu()]
        monkeypatch.setattr(tf.config, "get_visible_devices", lambda: visible)
    else:
        monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    assert not fused_kernel.applies()
    assert not fused_kernel.pays()
    layer = keras.layers.BatchNormalization(name="norm")
    with fused(layer):
        assert "call" not in vars(layer)
