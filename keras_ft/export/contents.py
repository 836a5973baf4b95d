"""What is really in a `.tflite` file, whatever was asked of the converter."""

from pathlib import Path

from keras_ft.export.conversion import UnsupportedOpsError
from keras_ft.export.export_error import ExportError
from keras_ft.export.quantization import QUANTIZATIONS


class QuantizationNotAppliedError(ExportError):
    """The file came out in float although a quantization was asked for.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> tiny = keras.Sequential([
    ...     keras.Input((28, 28, 1)), keras.layers.AveragePooling2D(4),
    ...     keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> keras_ft.export.to_tflite(
    ...     tiny, "tiny.tflite", "dynamic", samples=images)
    Traceback (most recent call last):
    keras_ft.export.QuantizationNotAppliedError: Invalid `quantization`. ...
    """


def check_contents(path: Path, quantization: str) -> None:
    """Refuse a file with foreign operations or without the quantization.

    Args:
        path: A `.tflite` file.
        quantization: What was asked for.

    Raises:
        UnsupportedOpsError: It holds custom or TensorFlow operations, or
            variables instead of weights.
        QuantizationNotAppliedError: No tensor has the type asked for.

    Example:

    >>> check_contents(Path("student.tflite"), "int8")
    """
    operations, types = _operations_and_types(path.read_bytes())
    foreign = sorted(
        name
        for name in operations
        if name.startswith(("CUSTOM", "VAR_HANDLE", "READ_VARIABLE"))
    )
    if foreign:
        raise UnsupportedOpsError(tuple(foreign))
    proof = QUANTIZATIONS[quantization].proof
    if proof is not None and proof not in types:
        raise QuantizationNotAppliedError(
            "quantization",
            f"{quantization!r}, but no {proof} tensor came out of it",
            f"a file with {proof} tensors",
            'Use quantization="none": weights of fewer than 1024 values stay '
            "in float.",
        )


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
