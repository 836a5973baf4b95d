"""What Keras says of the images a file is compared on."""

from typing import Any

import keras
import numpy as np

from keras_ft.errors import InputError

_BATCH = 64


def keras_logits(
    network: Any,
    pixels: np.ndarray,
    scaling: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """The student's logits.

    Args:
        network: The student, in float32.
        pixels: Images (N, H, W, C), values 0..255.
        scaling: `input = pixel * scale + shift`, or `None`.

    Returns:
        Shape (N, classes).

    Raises:
        InputError: They are not finite, or probabilities.

    Example:

    >>> keras_logits(student, images, None).shape
    (512, 10)
    """
    if scaling is not None:
        pixels = pixels * scaling[0] + scaling[1]
    batches = np.split(pixels, range(_BATCH, len(pixels), _BATCH))
    logits = np.concatenate(
        [
            keras.ops.convert_to_numpy(network(batch, training=False))
            for batch in batches
        ]
    )
    if not np.isfinite(logits).all():
        raise InputError(
            "student",
            "NaN or infinity among its logits",
            "finite logits on real images",
            "Train it again; its training has diverged.",
        )
    if logits.min() >= 0.0 and np.allclose(logits.sum(axis=-1), 1.0, atol=1e-3):
        raise InputError(
            "student",
            "probabilities",
            "logits; the softmax is added here",
            "Leave out the last softmax.",
        )
    return logits


def softmax(logits: np.ndarray) -> np.ndarray:
    """Probabilities, shape (N, classes)."""
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True))
