"""The most memory that training takes: a GPU's, or this process's."""

import sys
from pathlib import Path

import keras

GPU, PROCESS = "the GPU", "this process"
_STATUS = Path("/proc/self/status")
# Writing 5 there starts the peak anew (man 5 proc).
_CLEAR = Path("/proc/self/clear_refs")


def forget() -> bool:
    """Start to watch for the peak; False where that since the start stays.

    Linux and TensorFlow's GPU allocator can forget a peak, macOS cannot.
    """
    if _has_gpu():
        import tensorflow as tf

        tf.config.experimental.reset_memory_stats("GPU:0")
        return True
    try:
        _CLEAR.write_text("5", encoding="ascii")
    except OSError:
        return False
    return True


def measured() -> tuple[int, str] | None:
    """Return the most memory used since `forget`, and whose it is.

    Returns:
        Bytes of the first GPU where TensorFlow has one, else the resident
        bytes of this process; and `GPU` or `PROCESS`. `None` where the system
        does not tell.
    """
    if _has_gpu():
        import tensorflow as tf

        used = tf.config.experimental.get_memory_info("GPU:0")
        return int(used["peak"]), GPU
    resident = _resident()
    return None if resident is None else (resident, PROCESS)


def _has_gpu() -> bool:
    if keras.backend.backend() != "tensorflow":
        return False
    import tensorflow as tf

    return bool(tf.config.list_logical_devices("GPU"))


def _resident() -> int | None:
    if _STATUS.exists():
        for line in _STATUS.read_text(encoding="ascii").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    try:
        # Imported here: POSIX only.
        import resource
    except ImportError:
        return None
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    return peak * (1 if sys.platform == "darwin" else 1024)
