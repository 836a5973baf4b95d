"""Say what computes fast on the processor of this machine."""

import os
import platform
from pathlib import Path

import keras

CPUINFO = Path("/proc/cpuinfo")
# Instructions that multiply bfloat16; without them it is emulated, and slower.
_FLAGS = {"amx_bf16", "avx512_bf16"}


def is_used_alone() -> bool:
    """Return whether TensorFlow computes here, and on processors only."""
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return {d.device_type for d in tf.config.get_visible_devices()} == {"CPU"}


def gains_from_bfloat16(cpuinfo: Path = CPUINFO) -> bool:
    """Return whether convolutions are faster in bfloat16 on this processor.

    True on Linux, on the TensorFlow backend, where the kernel lists AMX-BF16
    or AVX512-BF16 and oneDNN, which uses them, is not switched off. False
    everywhere else, macOS and Windows included: no installed package says it
    through a public function, and `/proc/cpuinfo` is Linux' own. It is about
    the processor, and says nothing about a GPU.

    Args:
        cpuinfo: The file in which the kernel lists what a processor knows.
    """
    if keras.backend.backend() != "tensorflow" or not has_onednn():
        return False
    try:
        lines = cpuinfo.read_text("utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(
        _FLAGS.intersection(line.split())
        for line in lines
        if line.startswith("flags")
    )


def has_onednn() -> bool:
    """Return whether TensorFlow's operations on the processor are oneDNN's.

    Read as TensorFlow reads `TF_ENABLE_ONEDNN_OPTS`; where it is not set, yes
    on Linux with an x86 processor, for which it is TensorFlow's default.
    """
    setting = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    if setting is not None:
        return setting.lower() not in ("0", "false")
    return platform.system() == "Linux" and platform.machine() == "x86_64"
