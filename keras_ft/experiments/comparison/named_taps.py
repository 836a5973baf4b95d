"""A teacher whose feature maps have given names, and are small in a cache."""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import Tap


def with_named_taps(
    teacher: keras.Model, taps: Mapping[str, Tap]
) -> keras.Model:
    """Return a model on the teacher's layers whose taps have given names.

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
        further layers, called `layer_name(name)`. It shares the teacher's
        variables.
    """
    if not taps:
        return teacher
    chosen = list({tap.name: tap for tap in taps.values()}.values())
    watched = feature_extractor(teacher, chosen)
    *features, output = watched.outputs
    by_tap = dict(zip((tap.name for tap in chosen), features, strict=True))
    named = [_layer(name)(by_tap[tap.name]) for name, tap in taps.items()]
    output = _First(name=layer_name("all"))([output, *named])
    return keras.Model(watched.inputs[0], output, name=teacher.name)


def layer_name(name: str) -> str:
    """Return the layer of a named tap; no teacher's own is likely called so."""
    return f"tap_{name}"


def _layer(name: str) -> keras.layers.Layer:
    if name.startswith("attention"):
        return _RootMeanSquare(name=layer_name(name))
    return keras.layers.Identity(name=layer_name(name))


@keras.saving.register_keras_serializable(package="keras_ft")
class _RootMeanSquare(keras.layers.Layer):
    """Over the channels: (B, H, W, C) -> (B, H, W, 1)."""

    def call(self, features: Any) -> Any:
        squares = ops.square(ops.cast(features, "float32"))
        mean = ops.mean(squares, axis=-1, keepdims=True)
        return ops.cast(ops.sqrt(mean), self.compute_dtype)


@keras.saving.register_keras_serializable(package="keras_ft")
class _First(keras.layers.Layer):
    """Its first input; the others become part of the graph that way."""

    def call(self, tensors: Any) -> Any:
        return tensors[0]
