"""Are eight bits enough to tell the best two classes apart?

A network whose logits span a wide range has coarse steps: where one step is
more than what lies between the two best classes, rounding decides the answer.
"""

from typing import Any

import numpy as np


def logit_step(content: bytes) -> float | None:
    """Distance of neighboring logits in an integer file.

    Args:
        content: A `.tflite` file that ends in a softmax.

    Returns:
        In units of the student's logits; `None` where they are float.

    Example:

    >>> logit_step(Path("student_int8.tflite").read_bytes())
    0.093
    """
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(content, 0)
    softmax = schema.BuiltinOperator.SOFTMAX
    for graph in model.subgraphs:
        for operator in graph.operators:
            code = model.operatorCodes[operator.opcodeIndex]
            if max(code.builtinCode, code.deprecatedBuiltinCode) == softmax:
                return _step(graph.tensors[operator.inputs[0]])
    return None


def _step(tensor: Any) -> float | None:
    quantization = tensor.quantization
    if quantization is None or quantization.scale is None:
        return None
    return float(quantization.scale[0])


def median_margin(logits: np.ndarray) -> float:
    """What separates the two best classes, in the median of the samples.

    Args:
        logits: Shape (N, classes), at least two classes.

    Returns:
        In units of the logits, at least 0.

    Example:

    >>> median_margin(np.array([[1.0, 4.0, 2.0]]))
    2.0
    """
    ordered = np.sort(logits, axis=-1)
    return float(np.median(ordered[:, -1] - ordered[:, -2]))


def diagnosis(step: float | None, margin: float) -> str:
    """A sentence for a file whose step is too coarse; else nothing.

    Example:

    >>> diagnosis(0.093, 5.1)
    ''
    """
    if step is None or step <= margin:
        return ""
    return (
        f"Its logits move in steps of {step:.3g}, more than the {margin:.3g} "
        "between the two best classes of the median sample: 8 bits are too "
        "coarse for this student's range of logits. "
    )
