import keras
import pytest

from keras_ft.acceleration import processor


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
    monkeypatch.setattr(processor, "_CPUINFO", file)
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    if onednn is not None:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    assert processor.gains_from_bfloat16() is gains
