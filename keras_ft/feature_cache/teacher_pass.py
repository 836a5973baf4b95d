"""The teacher as a function of images, live or folded, and their agreement."""

import dataclasses
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from keras_ft import heads
from keras_ft.acceleration import processor
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.folded_teacher import fold_in_steps
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.errors import InputError
from keras_ft.feature_cache.rows import distances
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import Tap

Forward = Callable[[Any], Sequence[Any]]


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Require outputs to be near the live teacher's, in each batch.

    Args:
        row: The smallest cosine of a row to the live teacher's.
        mean: The smallest mean of them.

    Example:

    >>> Agreement(row=0.99, mean=0.999).missed(tf.constant([1.0, 0.98]))
    'a mean cosine of 0.99000, below 0.999'
    """

    row: float
    mean: float

    def missed(self, cosines: Any) -> str | None:
        """Return what is too small, if anything."""
        for name, found, limit in (
            ("a mean cosine", float(tf.reduce_mean(cosines)), self.mean),
            ("a cosine", float(tf.reduce_min(cosines)), self.row),
        ):
            # Not "<": NaN is no agreement either.
            if not found >= limit:
                return f"{name} of {found:.5f}, below {limit}"
        return None


STORED = Agreement(row=0.999, mean=0.999)
STORED_FLOAT32 = Agreement(row=0.9999, mean=0.9999)
# In bfloat16 a few images in ten thousand are off by more than the rest. Of
# the feature maps of ResNet-20 and ResNet-56 the worst row of 15,000 images
# was at 0.9979, the worst mean of 128 at 0.99987; another image's row was at
# 0.88 at most.
ACCELERATED = Agreement(row=0.99, mean=0.999)
# Before it is used at all.
FOLDED = Agreement(row=0.99, mean=0.9995)


def agreement(dtype: str, accelerated: bool) -> Agreement:
    """Return how near a finished cache must be to the live teacher."""
    if accelerated:
        return ACCELERATED
    return STORED_FLOAT32 if dtype == "float32" else STORED


def live_teacher(
    teacher: keras.Model, taps: list[Tap], logits: bool
) -> Forward:
    """Return a function from images to features, in order, then logits.

    Raises:
        InputError: The output is wanted and there are several.
    """
    if logits and len(teacher.outputs) != 1:
        raise InputError(
            f"logits=True needs a teacher with one output, its logits, not "
            f"{len(teacher.outputs)}. Leave logits out, or cut the teacher to "
            "one output."
        )
    extractor = _extractor(teacher, taps, logits)
    wanted = len(taps) + logits
    if keras.backend.backend() == "tensorflow":
        # What lies behind the last tap is pruned from the graph.
        return _compiled(extractor, wanted)

    def predict(images: Any) -> list[Any]:
        return _as_list(extractor.predict_on_batch(images.numpy()))[:wanted]

    return predict


def folded_teacher(
    live: Forward,
    teacher: keras.Model,
    taps: list[Tap],
    logits: bool,
    acceleration: str,
    dtype: str,
    images: Any,
) -> tuple[Forward | None, str]:
    """Return a faster equivalent of `live`, if there is one.

    Args:
        live: What `live_teacher` returned for the next three.
        teacher, taps, logits: As for `live_teacher`.
        acceleration: `"auto"` or `"none"`.
        dtype: How the cache stores values. What "float32" keeps is the
            teacher's own to the last bit, and never folded.
        images: A batch on which both must agree.

    Returns:
        The function or None, and what was done or why not.
    """
    if acceleration == "none":
        return None, 'as it is: acceleration="none"'
    if dtype == "float32":
        return None, "as it is: float32 keeps its own outputs"
    if not processor.is_used_alone():
        return None, "as it is: folding is for TensorFlow on processors"
    wanted = len(taps) + logits
    watched = _extractor(teacher, taps, logits)

    def fold_in(dtype: str) -> Forward:
        run = _compiled(
            fold(watched, dtype, keep=range(wanted), images=images), wanted
        )
        for theirs, ours in zip(live(images), run(images), strict=True):
            missed = FOLDED.missed(distances(theirs, ours)[1])
            if missed is not None:
                raise NotFoldableError(
                    teacher.name, f"folded, {missed}, on your images"
                )
        return run

    run, how = fold_in_steps(fold_in, gains_from_bfloat16())
    return (
        (None, f"as it is: {how}") if run is None else (run, f"folded, {how}")
    )


def check_outputs(
    outputs: Sequence[Any],
    live: Sequence[Any],
    names: Sequence[str],
    agreement: Agreement,
    where: str,
    place: str,
) -> None:
    """Compare a batch's outputs in a cache with the live teacher's.

    Args:
        outputs: Of the cache, float32.
        live: The teacher's.
        names: Of each output.
        agreement: How near they must be.
        where: The cache, for the message.
        place: The batch, for the message.

    Raises:
        InputError: A cosine is below its limit.
    """
    for name, truth, other in zip(names, live, outputs, strict=True):
        truth = tf.cast(tf.convert_to_tensor(truth), tf.float32)
        missed = agreement.missed(distances(truth, other)[1])
        if missed is not None:
            raise InputError(
                f"{where} has '{name}' of {place} at {missed}, to the live "
                "teacher's. Build the cache anew in another folder, from this "
                "teacher and data; if it comes again, with "
                "acceleration='none'."
            )


def _extractor(
    teacher: keras.Model, taps: list[Tap], logits: bool
) -> keras.Model:
    network = heads.logits_model(teacher) if logits else teacher
    return feature_extractor(network, taps)


def _compiled(network: keras.Model, wanted: int) -> Forward:
    spec = tf.TensorSpec((None, *network.inputs[0].shape[1:]))

    @tf.function(input_signature=[spec])
    def run(images: Any) -> list[Any]:
        return _as_list(network(images, training=False))[:wanted]

    return run


def _as_list(results: Any) -> list[Any]:
    # Keras returns a single output by itself.
    return results if isinstance(results, list) else [results]
