"""From a Keras network to the bytes of a `.tflite` file."""

import re
import tempfile
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_ft.export import litert_quantizer
from keras_ft.export.export_error import ExportError
from keras_ft.export.quantization import QUANTIZATIONS
from keras_ft.export.quiet import quiet

SIGNATURE = "classify"
INPUT = "image"
OUTPUT = "probabilities"


class UnsupportedOpsError(ExportError):
    """The student needs operations that LiteRT does not have built in.

    A phone's LiteRT has no TensorFlow ("Flex") or custom operations.

    Args:
        received: The operations, as TensorFlow names them.

    Example:

    >>> raise keras_ft.export.UnsupportedOpsError(("BesselI0",))
    Traceback (most recent call last):
    keras_ft.export.UnsupportedOpsError: Invalid `student`. Received: ...
    """

    def __init__(self, received: tuple[str, ...]) -> None:
        super().__init__(
            "student",
            f"operations {', '.join(received)}",
            "operations that are built into LiteRT",
            "Replace the layers that use them, or leave them to the app.",
        )
        self.operations = received

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.operations,)


def convert(
    student: keras.Model,
    input_shape: tuple[int, ...],
    scale_and_shift: tuple[np.ndarray, np.ndarray] | None,
    quantization: str,
    calibration: np.ndarray | None,
) -> bytes:
    """Convert, with preprocessing and softmax inside.

    The way over `keras.export.ExportArchive` and `from_saved_model` is the one
    that works: `from_concrete_functions` with a Keras 3 model silently leaves
    the weights out, and `from_keras_model` names nothing.

    Args:
        student: A float32 network that returns logits.
        input_shape: Its (H, W, C).
        scale_and_shift: `input = pixel * scale + shift`, or `None` where the
            student takes pixels.
        quantization: One of `QUANTIZATIONS`.
        calibration: Pixel values (N, H, W, C), float32; where activations
            become integers.

    Returns:
        The content of the file: signature `classify`, one input `image`
        (1, H, W, C) in 0..255 and one output `probabilities`; both float32,
        or uint8 for "int8_io".

    Raises:
        UnsupportedOpsError: LiteRT lacks an operation.
        ExportError: The converter failed for another reason.

    Example:

    >>> content = convert(student, (32, 32, 3), None, "none", None)
    >>> content[4:8]
    b'TFL3'
    """
    recipe = QUANTIZATIONS[quantization].recipe
    try:
        with quiet(), tempfile.TemporaryDirectory() as folder:
            _write_saved_model(student, input_shape, scale_and_shift, folder)
            content: bytes = _converter(
                folder, quantization, calibration
            ).convert()
            if recipe is not None:
                content = litert_quantizer.quantized(content, recipe)
    except Exception as error:  # the converter's own class is private
        raise _explained(error) from error
    return content


def _write_saved_model(
    student: keras.Model,
    input_shape: tuple[int, ...],
    scale_and_shift: tuple[np.ndarray, np.ndarray] | None,
    folder: str,
) -> None:
    import tensorflow as tf

    def classify(image: Any) -> dict[str, Any]:
        if scale_and_shift is not None:
            scale, shift = scale_and_shift
            image = image * scale + shift
        return {OUTPUT: ops.softmax(student(image, training=False), axis=-1)}

    archive = keras.export.ExportArchive()
    archive.track(student)
    # Batch 1: a free batch dimension costs shape arithmetic, and browsers
    # refuse it.
    image = tf.TensorSpec((1, *input_shape), tf.float32, name=INPUT)
    archive.add_endpoint(SIGNATURE, classify, input_signature=[image])
    archive.write_out(folder, verbose=False)


def _converter(
    folder: str, quantization: str, calibration: np.ndarray | None
) -> Any:
    import tensorflow as tf

    kind = QUANTIZATIONS[quantization]
    # Without the key a second copy, `serving_default`, gets into the file.
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=[SIGNATURE]
    )
    builtin = tf.lite.OpsSet.TFLITE_BUILTINS
    if kind.proof is not None and kind.recipe is None:
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if quantization == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if kind.calibrated:
        assert calibration is not None
        builtin = tf.lite.OpsSet.TFLITE_BUILTINS_INT8
        if kind.integer_io:
            converter.inference_input_type = tf.uint8
            converter.inference_output_type = tf.uint8
            calibration = _with_both_ends(calibration)
        converter.representative_dataset = _one_by_one(calibration)
    converter.target_spec.supported_ops = [builtin]
    return converter


def _with_both_ends(images: np.ndarray) -> np.ndarray:
    """Calibration images in which 0 and 255 occur.

    The input's scale is then 1 and its zero point 0: an app feeds a camera's
    bytes as they are.
    """
    images = images.copy()
    images[0, 0, 0] = 0.0
    images[0, -1, -1] = 255.0
    return images


def _one_by_one(images: np.ndarray) -> Any:
    def representative_dataset() -> Iterator[dict[str, np.ndarray]]:
        for image in images:
            yield {INPUT: image[np.newaxis]}

    return representative_dataset


def _explained(error: Exception) -> ExportError:
    text = str(error)
    names = re.findall(r"'?tf\.(\w+)'? op is neither|fused\[\"(\w+):", text)
    found = sorted({first or second for first, second in names})
    if found:
        return UnsupportedOpsError(tuple(found))
    reason = text.strip().splitlines()[-1:] or [type(error).__name__]
    return ExportError(
        "student",
        f"a network the converter refuses ({reason[0][:300]})",
        "one of layers that TensorFlow Lite supports",
        "Replace the layer named, or report it with the network's summary.",
    )
