"""Where the fused kernel is used, and when it counts as faster."""

from pathlib import Path

import keras
import pytest
import tensorflow as tf

from keras_ft import FactorTransfer
from keras_ft.acceleration import fused_kernel
from keras_ft.acceleration import processor
from keras_ft.acceleration.fused_norm import fused


def multiplies_bfloat16():
    flags = Path("/proc/cpuinfo")
    words = flags.read_text().split() if flags.is_file() else []
    return "amx_bf16" in words or "avx512_bf16" in words


@pytest.mark.parametrize(
    ("policy", "setting", "expected"),
    [
        ("float32", "0", False),
        ("float32", "1", True),
        ("mixed_float16", "1", False),
        ("mixed_bfloat16", "0", False),
        ("mixed_bfloat16", "1", multiplies_bfloat16()),
        ("float64", "1", False),
    ],
)
def test_a_student_trains_with_it_where_it_is_faster(
    network, batch, paraphraser, monkeypatch, policy, setting, expected
):
    """With oneDNN in float32; in bfloat16 where the processor has that."""
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", setting)
    kernel, called = tf.raw_ops.FusedBatchNormV3, []

    def counted(**arguments):
        called.append(arguments["x"].dtype.name)
        return kernel(**arguments)

    monkeypatch.setattr(tf.raw_ops, "FusedBatchNormV3", counted)
    teacher = network(8, normalize=False)
    keras.config.set_dtype_policy(policy)
    model = FactorTransfer(teacher, network(4), paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile("sgd", loss)
    model.fit(*batch, verbose=0)
    assert model.accelerated["student"].startswith("fused") == expected
    kind = policy.removeprefix("mixed_")
    assert set(called) == ({kind} if expected else set())
    # Only a training step is made faster.
    called.clear()
    model.evaluate(*batch, verbose=0)
    model.predict(batch[0], verbose=0)
    assert not called


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
