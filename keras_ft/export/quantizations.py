"""The quantizations a `.tflite` file may have, and how far each may stray.

Importing this module imports neither Keras nor TensorFlow, so that the command
line can name its choices at once.
"""

import dataclasses

from keras_ft.errors import InputError
from keras_ft.validation.installed import require_package


@dataclasses.dataclass(frozen=True)
class Quantization:
    """Describe one kind of file, and the limits it is held to.

    Args:
        tensor_type: A type its tensors must have, as a proof that it was
            applied; `None` for float.
        min_agreement: Share, 0..1, of samples with Keras' top-1 class.
        max_accuracy_drop: Share, 0..1, of samples that may be lost.
        remedy: What to do when the file falls short.
        max_mean_error: Of outputs that are no probabilities: mean absolute
            error as a share, 0..1, of their range.
        calibrated: Whether ranges of activations have to be measured.
        integer_io: Whether the app feeds and reads 8-bit integers.
        litert_recipe: The recipe of litert-quantizer that makes the file;
            `None` where TensorFlow's converter does.
    """

    tensor_type: str | None
    min_agreement: float
    max_accuracy_drop: float
    remedy: str
    max_mean_error: float
    calibrated: bool = False
    integer_io: bool = False
    litert_recipe: str | None = None


_MORE_IMAGES = (
    "Give more calibration images, of the kind the app will see, or "
    'use quantization="dynamic", which keeps activations in float; '
    'fallback="dynamic" does so by itself.'
)
_WIDE_WEIGHTS = (
    'Use quantization="float16": its weights spread too widely for 8 bits.'
)
_FEW_BITS = (
    'Use quantization="dynamic_wi8": four bits are too few for its weights.'
)

# The limits are below what good files of four small networks reached with 200
# calibration images (int8 0.992 to 0.998, dynamic 0.996 to 1, four-bit weights
# 0.958 to 0.980), and above what broken ones did (0.65, 0.79).
QUANTIZATIONS = {
    "none": Quantization(
        None,
        1.0,
        0.0,
        "Rebuild the student from standard layers: LiteRT computes one of "
        "its layers differently.",
        1e-4,
    ),
    "float16": Quantization(
        "FLOAT16",
        0.99,
        0.005,
        'Use quantization="none": a value lies outside what float16 can hold.',
        0.002,
    ),
    "dynamic": Quantization("INT8", 0.97, 0.005, _WIDE_WEIGHTS, 0.02),
    "int8": Quantization(
        "INT8", 0.95, 0.005, _MORE_IMAGES, 0.03, calibrated=True
    ),
    "int8_io": Quantization(
        "INT8",
        0.95,
        0.005,
        _MORE_IMAGES,
        0.03,
        calibrated=True,
        integer_io=True,
    ),
    "dynamic_wi8": Quantization(
        "INT8",
        0.97,
        0.005,
        _WIDE_WEIGHTS,
        0.02,
        litert_recipe="dynamic_wi8_afp32",
    ),
    "dynamic_wi4": Quantization(
        "INT4", 0.9, 0.03, _FEW_BITS, 0.1, litert_recipe="dynamic_wi4_afp32"
    ),
}


def check_quantization(
    name: str, argument: str = "quantization"
) -> Quantization:
    """Return the quantization of that name, if it can be made here.

    Raises:
        InputError: There is none of that name, or litert-quantizer, which
            makes it, is not installed.
    """
    if name not in QUANTIZATIONS:
        raise InputError(
            argument,
            repr(name),
            f"one of {', '.join(QUANTIZATIONS)}",
            'Start with "dynamic" if size matters, "none" if not.',
        )
    quantization = QUANTIZATIONS[name]
    if quantization.litert_recipe is not None:
        require_package(
            "litert_quantizer",
            f"{argument}={name!r}",
            "litert-quantizer",
            'Use quantization="dynamic", which needs nothing more.',
        )
    return quantization
