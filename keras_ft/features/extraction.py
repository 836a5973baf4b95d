"""Models on a model's own layers that also return its feature maps.

Nothing is copied, hooked or changed: they share every variable.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import keras

from keras_ft.features.grids import TokensToMap
from keras_ft.features.taps import Tap

# (x, training) -> (features, outputs)
FeatureFunction = Callable[[Any, bool | None], tuple[list[Any], Any]]


def feature_extractor(model: keras.Model, taps: list[Tap]) -> keras.Model:
    """Return a Functional model from inputs to `[*features, *outputs]`.

    A transformer's tokens come out as the map (batch, height, width, channels)
    that their tap describes.

    Args:
        model: The model the taps were found in; its layers are used.
        taps: The feature maps to return.
    """
    if any("/" in tap.name for tap in taps):
        return _nested_extractor(model, taps)
    tensors = [_as_map(tap, tap.tensor) for tap in taps]
    return keras.Model(_input(model), [*tensors, *model.outputs])


def feature_function(model: keras.Model, taps: list[Tap]) -> FeatureFunction:
    """Return a function that runs a model once for taps and outputs.

    Args:
        model: The model the taps were found in.
        taps: The feature maps to return; none for a model without a graph.

    Returns:
        A function of `(x, training)`. It returns one tensor per tap, and the
        outputs in the structure in which the model itself returns them: a
        tensor, a list or a dictionary.
    """
    if not taps:
        return lambda x, training: ([], model(x, training=training))
    extractor = feature_extractor(model, taps)
    structure = model.compute_output_spec(_input(model))
    count = len(taps)

    def run(x: Any, training: bool | None) -> tuple[list[Any], Any]:
        results = extractor(x, training=training)
        outputs = keras.tree.pack_sequence_as(structure, results[count:])
        return results[:count], outputs

    return run


def _nested_extractor(model: keras.Model, taps: list[Tap]) -> keras.Model:
    """Replay the outer graph with each tapped inner model opened.

    The tensors of a nested model belong to its own graph, so the outer graph
    is called again on its own layers, with the inner model's extractor in
    place of the inner model.
    """
    seen: dict[str, Any] = {}
    wanted: dict[str, list[Tap]] = {}
    for tap in taps:
        if "/" in tap.name:
            owner, rest = tap.name.split("/", 1)
            wanted.setdefault(owner, []).append(replace(tap, name=rest))

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

    if isinstance(model, keras.Sequential):
        model = keras.Model(_input(model), model.outputs)
    replay = keras.models.clone_model(
        model, clone_function=lambda layer: layer, call_function=call
    )
    # Those of a nested model are maps already.
    tensors = [
        seen[tap.name] if "/" in tap.name else _as_map(tap, seen[tap.name])
        for tap in taps
    ]
    return keras.Model(_input(replay), [*tensors, *replay.outputs])


def _as_map(tap: Tap, tensor: Any) -> Any:
    if tap.tokens is None:
        return tensor
    height, width = tap.shape[:2]
    assert height is not None and width is not None
    return TokensToMap(height, width, tap.tokens[0])(tensor)


def _input(model: keras.Model) -> Any:
    # One input as itself: Keras warns when [x] is then called with x.
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs
