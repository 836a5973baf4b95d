"""Run a `.tflite` file as a phone would."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_ft.export.conversion import INPUT
from keras_ft.export.conversion import OUTPUT
from keras_ft.export.conversion import SIGNATURE
from keras_ft.export.quiet import quiet


def run_in_litert(path: Path, images: np.ndarray) -> np.ndarray:
    """Classify images one by one in LiteRT.

    TensorFlow's own interpreter is deprecated, and is not what a phone has.

    Args:
        path: A file written by `to_tflite`.
        images: Pixel values 0..255, shape (N, H, W, C).

    Returns:
        Probabilities, float32, shape (N, classes); those of a file that
        returns integers are scaled as the file says.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> probabilities = keras_ft.export.run_in_litert("student.tflite", images)
    >>> accuracy = np.mean(np.argmax(probabilities, axis=-1) == labels)
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        classify = interpreter.get_signature_runner(SIGNATURE)
        image = classify.get_input_details()[INPUT]
        probabilities = classify.get_output_details()[OUTPUT]
        fed = _as_integers(images, image)
        rows = [classify(**{INPUT: one[np.newaxis]})[OUTPUT][0] for one in fed]
    return _as_numbers(np.stack(rows), probabilities)


def _as_integers(numbers: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    """What the tensor takes; as they are for a float one."""
    scale, zero = tensor["quantization"]
    if not scale:
        return numbers.astype(tensor["dtype"])
    limits = np.iinfo(tensor["dtype"])
    integers = np.round(numbers / scale) + zero
    return np.clip(integers, limits.min, limits.max).astype(tensor["dtype"])


def _as_numbers(integers: np.ndarray, tensor: dict[str, Any]) -> np.ndarray:
    scale, zero = tensor["quantization"]
    if not scale:
        return integers
    return (integers.astype(np.float32) - zero) * np.float32(scale)
