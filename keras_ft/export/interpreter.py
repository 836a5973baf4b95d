"""Run a `.tflite` file as a phone would."""

from pathlib import Path

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
        images: Pixel values 0..255, float32, shape (N, H, W, C).

    Returns:
        Probabilities, float32, shape (N, classes).

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> probabilities = run_in_litert("student.tflite", np.float32(images))
    >>> np.mean(np.argmax(probabilities, axis=-1) == labels)
    """
    from ai_edge_litert.interpreter import Interpreter

    with quiet():
        interpreter = Interpreter(model_path=str(path), num_threads=1)
        classify = interpreter.get_signature_runner(SIGNATURE)
        rows = [
            classify(**{INPUT: image[np.newaxis]})[OUTPUT][0]
            for image in images
        ]
    return np.stack(rows)
