"""Students in tf_keras, as compression leaves them.

The converter takes them like others; here is what is special about those that
imitate 8 bits.
"""

import sys
from typing import Any

from keras_ft.errors import InputError
from keras_ft.export.quantization import QUANTIZATIONS

# Where tfmot lets ranges begin; the input's begins at 0..0.
_UNTRAINED = (-6.0, 6.0)


def is_tf_keras(model: Any) -> bool:
    """Whether a model is one of `tf_keras`, without importing it."""
    tf_keras = sys.modules.get("tf_keras")
    return tf_keras is not None and isinstance(model, tf_keras.Model)


def check_imitation(student: Any, quantization: str) -> None:
    """Refuse to write a student that imitates 8 bits as something else.

    Args:
        student: Any model.
        quantization: What it is to be written as.

    Raises:
        InputError: It imitates 8 bits and the file would not have them, or
            its ranges were never measured: such a file is wrong more often
            than right.

    Example:

    >>> small = keras_ft.compression.compress(model, "qat", data.train)
    >>> check_imitation(small, "dynamic")
    Traceback (most recent call last):
    keras_ft.errors.InputError: Invalid `quantization`. Received: ...
    """
    ranges = _ranges(student) if is_tf_keras(student) else []
    if not ranges:
        return
    if not QUANTIZATIONS[quantization].calibrated:
        raise InputError(
            "quantization",
            f"{quantization!r} for '{student.name}', which was trained to "
            "compute in 8 bits",
            '"int8" or "int8_io"',
            "Use one of them, or export the student it was made of.",
        )
    if _UNTRAINED in ranges:
        raise InputError(
            "student",
            f"'{student.name}', in which ranges are tfmot's initial ranges",
            "a student after quantization-aware training",
            "Train it first, or let keras_ft.compression.compress do both.",
        )


def _ranges(student: Any) -> list[tuple[float, float]]:
    """The ranges of activations of a student that imitates 8 bits."""
    variables = {weight.name: weight for weight in student.weights}
    return [
        (float(variable), float(variables[name[: -len("min:0")] + "max:0"]))
        for name, variable in variables.items()
        if name.endswith("_min:0") and variable.shape.rank == 0
    ]
