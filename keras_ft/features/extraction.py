"""Views: second models on a model's own layers that also return its taps.

Nothing is copied, hooked or changed.
"""

from collections.abc import Callable
from typing import Any

import keras

from keras_ft.features.taps import Tap

# (x, training) -> (features, outputs)
Run = Callable[[Any, bool | None], tuple[list[Any], Any]]


def feature_extractor(model: keras.Model, chosen: list[Tap]) -> keras.Model:
    """A model on the same layers that returns taps and outputs.

    Args:
        model: The model the taps were found in.
        chosen: Taps of that model.

    Returns:
        A Functional model from the model's inputs to the list
        `[*features, *outputs]`. It shares every variable with `model`.
    """
    nested = [tap for tap in chosen if "/" in tap.name]
    if not nested:
        tensors = [tap.tensor for tap in chosen]
        return keras.Model(_input(model), [*tensors, *model.outputs])
    return _nested_extractor(model, chosen)


def feature_function(model: keras.Model, chosen: list[Tap]) -> Run:
    """How to run a model once for both its taps and its outputs.

    Args:
        model: The model the taps were found in.
        chosen: Taps of that model; none for a model without a graph.

    Returns:
        A function of `(x, training)`. It returns one tensor per tap, and the
        outputs in the structure in which the model itself returns them: a
        tensor, a list or a dictionary.

    Example:

    >>> run = feature_function(detector, [find_tap(detector, None, "layer")])
    >>> (features,), outputs = run(images, training=True)
    >>> outputs["boxes"].shape
    (32, 16, 16, 4)
    """
    if not chosen:
        return lambda x, training: ([], model(x, training=training))
    watched = feature_extractor(model, chosen)
    structure = model.compute_output_spec(_input(model))
    count = len(chosen)

    def run(x: Any, training: bool | None) -> tuple[list[Any], Any]:
        results = watched(x, training=training)
        outputs = keras.tree.pack_sequence_as(structure, results[count:])
        return results[:count], outputs

    return run


def _nested_extractor(model: keras.Model, chosen: list[Tap]) -> keras.Model:
    """Replays the outer graph with each tapped inner model opened.

    The tensors of a nested model belong to its own graph, so the outer graph
    is called again on its own layers, with the inner view in place of the
    inner model.
    """
    seen: dict[str, Any] = {}
    wanted: dict[str, list[Tap]] = {}
    for tap in chosen:
        if "/" in tap.name:
            owner, rest = tap.name.split("/", 1)
            inner = Tap(rest, *_fields_after_name(tap))
            wanted.setdefault(owner, []).append(inner)

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        opened = wanted.get(layer.name)
        if opened is None:
            result = layer(*args, **kwargs)
        else:
            results = feature_extractor(layer, opened)(*args, **kwargs)
            features = results[: len(opened)]
            for tap, feature in zip(opened, features, strict=True):
                seen[f"{layer.name}/{tap.name}"] = feature
            outputs = results[len(opened) :]
            result = outputs[0] if len(outputs) == 1 else outputs
        seen.setdefault(layer.name, result)
        return result

    replay = keras.models.clone_model(
        _as_functional(model), clone_function=lambda x: x, call_function=call
    )
    tensors = [seen[tap.name] for tap in chosen]
    return keras.Model(_input(replay), [*tensors, *replay.outputs])


def _fields_after_name(tap: Tap) -> tuple[Any, ...]:
    return tap.shape, tap.stride, tap.layer, tap.default, tap.tensor


def _as_functional(model: keras.Model) -> keras.Model:
    if isinstance(model, keras.Sequential):
        return keras.Model(_input(model), model.outputs)
    return model


def _input(model: keras.Model) -> Any:
    """One input as itself: Keras warns when [x] is then called with x."""
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs
