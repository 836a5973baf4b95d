"""The teacher as a function of images: live, or folded."""

from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ft.acceleration import fused_kernel
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.not_foldable_error import NotFoldableError
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.errors import InputError
from keras_ft.feature_cache.agreement import FOLDED
from keras_ft.feature_cache.layout import of_rows
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import Tap

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
    watched = feature_extractor(teacher, taps)
    wanted = len(taps) + logits
    if keras.backend.backend() == "tensorflow":
        # What lies behind the last tap is pruned from the graph.
        return _compiled(watched, wanted)

    def predict(images: Any) -> list[Any]:
        return _several(watched.predict_on_batch(images.numpy()))[:wanted]

    return predict


def chosen(
    truth: Forward,
    teacher: keras.Model,
    taps: list[Tap],
    logits: bool,
    choice: str,
    dtype: str,
    images: Any,
) -> tuple[Forward | None, str]:
    """A faster equivalent of `live`, if there is one.

    Args:
        truth: What `live` returned for the next three.
        teacher, taps, logits: As for `live`.
        choice: `"auto"` or `"none"`.
        dtype: How the cache stores values. What "float32" keeps is the
            teacher's own to the last bit, and never folded.
        images: A batch on which both must agree.

    Returns:
        The function or None, and what was done or why not.
    """
    if choice == "none":
        return None, 'as it is: acceleration="none"'
    if dtype == "float32":
        return None, "as it is: float32 keeps its own outputs"
    if not fused_kernel.applies():
        return None, "as it is: folding is for TensorFlow on processors"
    precision = "bfloat16" if gains_from_bfloat16() else "float32"
    wanted = len(taps) + logits
    try:
        folded = fold(
            feature_extractor(teacher, taps), precision, keep=range(wanted)
        )
    except NotFoldableError as error:
        return None, f"as it is: {error.reason}"
    run = _compiled(folded, wanted)
    for theirs, ours in zip(truth(images), run(images), strict=True):
        missed = FOLDED.missed(of_rows(theirs, ours)[1])
        if missed is not None:
            return None, f"as it is: folded, {missed}, on your images"
    return run, f"folded, {precision}"


def _compiled(network: keras.Model, wanted: int) -> Forward:
    spec = tf.TensorSpec((None, *network.inputs[0].shape[1:]))

    @tf.function(input_signature=[spec])
    def run(images: Any) -> list[Any]:
        return _several(network(images, training=False))[:wanted]

    return run


def _several(results: Any) -> list[Any]:
    # Keras returns a single output by itself.
    return results if isinstance(results, list) else [results]


def shapes(forward: Forward, images: Any) -> tuple[tuple[int, ...], ...]:
    """Shape of one row of each output."""
    return tuple(tuple(value.shape[1:]) for value in forward(images[:1]))
