"""What the processor of this machine gains from."""

import os
import platform
from pathlib import Path

import keras

_CPUINFO = Path("/proc/cpuinfo")
# Instructions that multiply bfloat16; without them it is emulated, and slower.
_FLAGS = {"amx_bf16", "avx512_bf16"}


def gains_from_bfloat16() -> bool:
    """Whether convolutions are faster in bfloat16 on this processor.

    True on Linux, on the TensorFlow backend, where the kernel lists AMX-BF16
    or AVX512-BF16 and oneDNN, which uses them, is not switched off. False
    everywhere else, macOS and Windows included: no installed package says it
    through a public function, and `/proc/cpuinfo` is Linux' own. It is about
    the processor, and says nothing about a GPU.

    Example:

    >>> dtype = "bfloat16" if gains_from_bfloat16() else "float32"
    """
    if keras.backend.backend() != "tensorflow" or not has_onednn():
        return False
    try:
        lines = _CPUINFO.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(
        _FLAGS.intersection(line.split())
        for line in lines
        if line.startswith("flags")
    )


def has_onednn() -> bool:
    """Whether TensorFlow's operations on the processor are oneDNN's.

    Read as TensorFlow reads `TF_ENABLE_ONEDNN_OPTS`; where it is not set, yes
    on Linux with an x86 processor, for which it is TensorFlow's default.
    """
    setting = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if setting is not None:
        return setting.lower() not in ("0", "false")
    return platform.system() == "Linux" and platform.machine() == "x86_64"
