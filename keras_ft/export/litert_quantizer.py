"""The door to litert-quantizer, an optional package."""

from collections.abc import Callable
from typing import Any

from keras_ft.validation import needs

PACKAGE = "litert_quantizer"


def check_installed(quantization: str) -> None:
    """Refuse a quantization whose package is missing.

    Raises:
        InputError: litert-quantizer is not installed.

    Example:

    >>> check_installed("dynamic_wi4")
    """
    needs.package(
        PACKAGE,
        f"quantization={quantization!r}",
        "litert-quantizer",
        'Use quantization="dynamic", which needs nothing more.',
    )


def quantized(content: bytes, recipe: str) -> bytes:
    """Quantize a float `.tflite` file.

    Args:
        content: The file.
        recipe: Name of a recipe of litert-quantizer that needs no calibration.

    Returns:
        The new file's content; inputs and outputs stay float32.

    Example:

    >>> small = quantized(content, "dynamic_wi4_afp32")
    """
    # The top package defines `Quantizer` and `recipe`.
    import litert_quantizer

    make: Callable[[], Any] = getattr(litert_quantizer.recipe, recipe)
    quantizer = litert_quantizer.Quantizer(content, make())
    result = quantizer.quantize(
        enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(result.quantized_model)
