"""The live teacher as a function of images."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.feature_taps import Tap
from keras_ft.views import view

Forward = Callable[[Any], Sequence[Any]]


def live(teacher: keras.Model, taps: list[Tap], logits: bool) -> Forward:
    """Maps images to features in the order of `taps`, then the output.

    Raises:
        InputError: The output is wanted and there are several.
    """
    if logits and len(teacher.outputs) != 1:
        raise InputError(
            "logits",
            f"True for a teacher with {len(teacher.outputs)} outputs",
            "a teacher whose one output are its logits",
            "Leave logits out, or cut the teacher to one output.",
        )
    watched = view(teacher, taps)
    wanted = len(taps) + logits

    def run(images: Any) -> list[Any]:
        return _several(watched(images, training=False))[:wanted]

    if keras.backend.backend() == "tensorflow":
        # What lies behind the last tap is pruned from the graph.
        spec = tf.TensorSpec((None, *teacher.inputs[0].shape[1:]))
        return tf.function(run, input_signature=[spec])

    def predict(images: Any) -> list[Any]:
        return _several(watched.predict_on_batch(images.numpy()))[:wanted]

    return predict


def _several(results: Any) -> list[Any]:
    # Keras returns a single output by itself.
    return results if isinstance(results, list) else [results]


def shapes(forward: Forward, images: Any) -> tuple[tuple[int, ...], ...]:
    """Shape of one row of each output."""
    return tuple(tuple(value.shape[1:]) for value in forward(images[:1]))
