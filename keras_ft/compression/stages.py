"""The compressions by name, and the stages that each consists of.

Importing this module imports neither Keras nor TensorFlow, so that the command
line can name its choices at once.
"""

from keras_ft.errors import InputError
from keras_ft.export.quantizations import check_quantization

COMPRESSIONS: dict[str, tuple[str, ...]] = {
    "prune": ("prune",),
    "cluster": ("cluster",),
    "qat": ("quantize",),
    "pqat": ("prune", "quantize"),
    "cqat": ("cluster", "quantize"),
    "pcqat": ("prune", "cluster", "quantize"),
}


def check_export(method: str, quantization: str, fallback: str | None) -> None:
    """Refuse, before anything is trained, a file that cannot be made after.

    Args:
        method: See `compress`.
        quantization: Of the file, see `export.to_tflite`.
        fallback: Likewise; or None.

    Raises:
        InputError: A student that was trained for 8 bits would be written as
            something else, or a package is missing.
    """
    files = {"quantization": quantization, "fallback": fallback}
    for argument, name in files.items():
        if name is None:
            continue
        calibrated = check_quantization(name, argument).calibrated
        if "quantize" in COMPRESSIONS.get(method, ()) and not calibrated:
            raise InputError(
                argument,
                f"{name!r} after {method!r}, which trains for 8 bits",
                '"int8" or "int8_io"',
                "Use one of them, or a method without q, such as prune.",
            )
