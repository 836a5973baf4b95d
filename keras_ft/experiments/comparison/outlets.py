"""A teacher that names, and keeps small, what the methods take from it."""

from typing import Any

import keras
from keras import ops

from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import Tap


def with_outlets(teacher: keras.Model, taps: dict[str, Tap]) -> keras.Model:
    """A model on the teacher's layers whose taps are called as given.

    Attention transfer looks at the mean square over the channels only. A tap
    whose name begins with "attention" is therefore replaced by its root mean
    square: one channel instead of up to a hundred, with the same attention
    map. A cache of all stages is so a quarter larger than one of the last
    stage, and not five times.

    Args:
        teacher: A Functional or Sequential model with one output.
        taps: Feature maps of it, by a name for each.

    Returns:
        A Functional model from images to the teacher's output, which has
        further layers, called `outlet(name)`. It shares the teacher's
        variables.

    Example:

    >>> taps = {"attention_1": keras_ft.taps(teacher)[0]}
    >>> model = with_outlets(teacher, taps)
    >>> keras_ft.Distiller(model, student, [
    ...     keras_ft.transfers.AttentionTransfer(
    ...         teacher_layer_name=outlet("attention_1"),
    ...         student_layer_name="stage1")
    ... ])
    """
    if not taps:
        return teacher
    chosen = list({tap.name: tap for tap in taps.values()}.values())
    watched = feature_extractor(teacher, chosen)
    *features, output = watched.outputs
    by_tap = dict(zip((tap.name for tap in chosen), features, strict=True))
    named = [_outlet(name)(by_tap[tap.name]) for name, tap in taps.items()]
    output = _WithOutlets(name=outlet("all"))([output, *named])
    return keras.Model(watched.inputs[0], output, name=teacher.name)


def outlet(name: str) -> str:
    """The outlet's layer; a name that no teacher's own layer is likely to have.

    Example:

    >>> outlet("factor")
    'outlet_factor'
    """
    return f"outlet_{name}"


def _outlet(name: str) -> keras.layers.Layer:
    if name.startswith("attention"):
        return _RootMeanSquare(name=outlet(name))
    return keras.layers.Identity(name=outlet(name))


@keras.saving.register_keras_serializable(package="keras_ft")
class _RootMeanSquare(keras.layers.Layer):
    """Over the channels: (B, H, W, C) -> (B, H, W, 1)."""

    def call(self, features: Any) -> Any:
        squares = ops.square(ops.cast(features, "float32"))
        mean = ops.mean(squares, axis=-1, keepdims=True)
        return ops.cast(ops.sqrt(mean), self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_ft")
class _WithOutlets(keras.layers.Layer):
    """Its first input; the others become part of the graph that way."""

    def call(self, tensors: Any) -> Any:
        return tensors[0]
