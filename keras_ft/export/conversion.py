"""From a Keras network to the bytes of a `.tflite` file."""

import re
import tempfile
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_ft import heads
from keras_ft.export.errors import ExportError
from keras_ft.export.errors import QuantizationNotAppliedError
from keras_ft.export.errors import UnsupportedOpsError
from keras_ft.export.litert import suppressed_output
from keras_ft.export.quantizations import QUANTIZATIONS
from keras_ft.export.student import PROBABILITIES
from keras_ft.export.student import Output

SIGNATURE = "classify"
# Of a file that has other outputs than probabilities of a whole image.
OTHER_SIGNATURE = "predict"
INPUT = "image"
OUTPUT = PROBABILITIES


def signature_of(outputs: Sequence[Output]) -> str:
    """Return the name of a file's only signature."""
    is_classifier = len(outputs) == 1 and outputs[0].is_classifier
    return SIGNATURE if is_classifier else OTHER_SIGNATURE


def convert(
    student: keras.Model,
    input_shape: tuple[int, ...],
    scaling: tuple[np.ndarray, np.ndarray] | None,
    quantization: str,
    calibration: np.ndarray | None,
    outputs: Sequence[Output],
) -> bytes:
    """Convert, with preprocessing and activations inside.

    The way over `keras.export.ExportArchive` and `from_saved_model` is the one
    that works: `from_concrete_functions` with a Keras 3 model silently leaves
    the weights out, and `from_keras_model` names nothing.

    Args:
        student: A float32 network that returns logits.
        input_shape: Its (H, W, C).
        scaling: `input = pixel * scale + shift`, or `None` where the student
            takes pixels.
        quantization: One of `QUANTIZATIONS`.
        calibration: Pixel values (N, H, W, C), float32; where activations
            become integers.
        outputs: What the file is to give, in the order of the network's.

    Returns:
        The content of the file: signature `classify`, one input `image`
        (1, H, W, C) in 0..255 and one output `probabilities`; both float32,
        or uint8 for "int8_io". What is no classifier of whole images has the
        signature `predict` and its outputs by their names.

    Raises:
        UnsupportedOpsError: LiteRT lacks an operation.
        ExportError: The converter failed for another reason.
    """
    recipe = QUANTIZATIONS[quantization].litert_recipe
    try:
        with suppressed_output(), tempfile.TemporaryDirectory() as folder:
            _write_saved_model(student, input_shape, scaling, outputs, folder)
            converter = _converter(
                folder, signature_of(outputs), quantization, calibration
            )
            content: bytes = converter.convert()
            if recipe is not None:
                content = _quantize_with_litert(content, recipe)
    except Exception as error:  # the converter's own class is private
        raise _conversion_error(error) from error
    return content


def _write_saved_model(
    student: keras.Model,
    input_shape: tuple[int, ...],
    scaling: tuple[np.ndarray, np.ndarray] | None,
    outputs: Sequence[Output],
    folder: str,
) -> None:
    import tensorflow as tf

    def predict(image: Any) -> dict[str, Any]:
        if scaling is not None:
            scale, shift = scaling
            image = image * scale + shift
        logits = keras.tree.flatten(student(image, training=False))
        return {
            output.name: heads.activate(output.activation, one)
            for output, one in zip(outputs, logits, strict=True)
        }

    archive = keras.export.ExportArchive()
    archive.track(student)
    # Batch 1: a free batch dimension costs shape arithmetic, and browsers
    # refuse it.
    image = tf.TensorSpec((1, *input_shape), tf.float32, name=INPUT)
    archive.add_endpoint(
        signature_of(outputs), predict, input_signature=[image]
    )
    archive.write_out(folder, verbose=False)


def _converter(
    folder: str,
    signature: str,
    quantization: str,
    calibration: np.ndarray | None,
) -> Any:
    import tensorflow as tf

    kind = QUANTIZATIONS[quantization]
    # Without the key a second copy, `serving_default`, gets into the file.
    converter = tf.lite.TFLiteConverter.from_saved_model(
        folder, signature_keys=[signature]
    )
    builtin = tf.lite.OpsSet.TFLITE_BUILTINS
    if kind.tensor_type is not None and kind.litert_recipe is None:
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
    """Return calibration images in which 0 and 255 occur.

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


def _quantize_with_litert(content: bytes, recipe: str) -> bytes:
    """Quantize the weights of a float file with litert-quantizer."""
    # The top package defines `Quantizer` and `recipe`.
    import litert_quantizer

    make_recipe = getattr(litert_quantizer.recipe, recipe)
    quantizer = litert_quantizer.Quantizer(content, make_recipe())
    result = quantizer.quantize(
        enable_progress_bar=False, enable_progress_report=False
    )
    return bytes(result.quantized_model)


def _conversion_error(error: Exception) -> ExportError:
    text = str(error)
    names = re.findall(r"'?tf\.(\w+)'? op is neither|fused\[\"(\w+):", text)
    found = sorted({first or second for first, second in names})
    if found:
        return UnsupportedOpsError(tuple(found))
    reason = text.strip().splitlines()[-1:] or [type(error).__name__]
    return ExportError(
        f"TensorFlow's converter refuses the student ({reason[0][:300]}). "
        "Replace the layer named, or report it with the network's summary."
    )


def check_converted(content: bytes, quantization: str) -> None:
    """Refuse a file with foreign operations or without its quantization.

    The converter says nothing when it leaves one out or puts the other in.

    Args:
        content: Of a `.tflite` file.
        quantization: What was asked for.

    Raises:
        UnsupportedOpsError: It holds custom or TensorFlow operations, or
            variables instead of weights.
        QuantizationNotAppliedError: No tensor has the type asked for.
    """
    operations, types = _operations_and_types(content)
    foreign = sorted(
        name
        for name in operations
        if name.startswith(("CUSTOM", "VAR_HANDLE", "READ_VARIABLE"))
    )
    if foreign:
        raise UnsupportedOpsError(tuple(foreign))
    tensor_type = QUANTIZATIONS[quantization].tensor_type
    if tensor_type is not None and tensor_type not in types:
        raise QuantizationNotAppliedError(quantization, tensor_type)


def _operations_and_types(content: bytes) -> tuple[set[str], set[str]]:
    from ai_edge_litert import schema_py_generated as schema

    names = _names(schema.BuiltinOperator)
    types = _names(schema.TensorType)
    model = schema.ModelT.InitFromPackedBuf(content, 0)
    operations = set()
    for code in model.operatorCodes:
        # Old operations are in the narrow field, new ones in the wide one.
        name = names[max(code.builtinCode, code.deprecatedBuiltinCode)]
        custom = code.customCode.decode() if code.customCode else ""
        operations.add(f"{name} {custom}".rstrip())
    tensors = (tensor for graph in model.subgraphs for tensor in graph.tensors)
    return operations, {types[tensor.type] for tensor in tensors}


def _names(enumeration: type) -> dict[int, str]:
    return {
        value: name
        for name, value in vars(enumeration).items()
        if not name.startswith("_")
    }
