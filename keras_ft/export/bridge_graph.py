"""Which layer of a Keras 3 model is called on what, from its own description.

`get_config()` is public and says it all. The links between tensors and layers
inside Keras are not, and count the calls of nested models differently.
"""

import dataclasses
from collections import deque
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft.export.bridge_error import BridgeError
from keras_ft.export.bridge_layers import check_known


@dataclasses.dataclass(frozen=True)
class Graph:
    """A model as calls of its layers, each after those it depends on.

    Args:
        inputs: Keys of the model's inputs, flattened.
        calls: See `_Call`.
        outputs: Keys of the model's outputs, flattened.

    Example:

    >>> [call.layer.name for call in graph_of(zoo.resnet8()).calls][:2]
    ['stem', 'stem_bn']
    """

    inputs: list["_Key"]
    calls: list["_Call"]
    outputs: list["_Key"]


@dataclasses.dataclass(frozen=True)
class _Key:
    """A tensor: an output of one call of a layer."""

    layer: str
    call: int
    output: int


@dataclasses.dataclass(frozen=True)
class _Call:
    """One call of a layer; in its arguments keys stand for tensors."""

    layer: Any
    number: int
    args: list[Any]
    kwargs: dict[str, Any]

    def filled(self, tensors: dict[_Key, Any]) -> tuple[Any, dict[str, Any]]:
        """The arguments, with tensors for keys and without what is None."""
        kwargs = {
            name: value
            for name, value in self.kwargs.items()
            if any(leaf is not None for leaf in keras.tree.flatten(value))
        }
        args, kwargs = keras.tree.map_structure(
            lambda leaf: tensors[leaf] if isinstance(leaf, _Key) else leaf,
            (self.args, kwargs),
        )
        return args, kwargs

    def results(self, outputs: list[Any]) -> dict[_Key, Any]:
        """What it returned, flattened, by key."""
        return {
            _Key(self.layer.name, self.number, index): output
            for index, output in enumerate(outputs)
        }


def check_model(model: Any) -> None:
    """Refuse a model that is not all graph and stock layers, at any depth.

    Raises:
        BridgeError: Names the layer or operation, and a remedy.

    Example:

    >>> check_model(keras_ft.zoo.resnet20())
    """
    if _is_sequential(model):
        parts = model.layers
        if not model.built:
            raise BridgeError(
                model.name,
                "a Sequential model that was never built",
                "Add keras.Input(shape) as its first layer.",
            )
    elif _is_functional(model):
        parts = model.operations
    else:
        check_known(model)
        return
    for part in parts:
        if not isinstance(part, keras.layers.InputLayer):
            check_model(part)


def graph_of(model: keras.Model) -> Graph:
    """How a model's layers are called.

    Args:
        model: One that passed `check_model`.

    Raises:
        BridgeError: A layer is called with something other than tensors of
            this model and plain values.

    Example:

    >>> len(graph_of(keras_ft.zoo.resnet8()).calls)
    31
    """
    if _is_sequential(model):
        return _chain(model)
    config = model.get_config()
    inputs = _keys(config["input_layers"])
    known = {(key.layer, key.call) for key in inputs}
    calls: list[_Call] = []
    waiting = deque(_calls(model, config))
    while waiting:
        call = waiting.popleft()
        leaves = keras.tree.flatten((call.args, call.kwargs))
        needed = {(k.layer, k.call) for k in leaves if isinstance(k, _Key)}
        if needed <= known:
            calls.append(call)
            known.add((call.layer.name, call.number))
        else:
            waiting.append(call)
    outputs = [
        _counted_from_0(model, key) for key in _keys(config["output_layers"])
    ]
    return Graph(inputs, calls, outputs)


def _counted_from_0(model: keras.Model, key: "_Key") -> "_Key":
    """A key of `output_layers`, which count calls of nested models from 1."""
    if _is_functional(model.get_layer(key.layer)):
        return dataclasses.replace(key, call=key.call - 1)
    return key


def structures_of(model: keras.Model) -> tuple[Any, Any]:
    """A model's inputs and outputs as it takes and returns them.

    Returns:
        Two structures of symbolic tensors: single, or lists or dictionaries.

    Example:

    >>> inputs, outputs = structures_of(keras_ft.zoo.resnet20())
    >>> outputs.shape
    (None, 10)
    """
    if _is_sequential(model):
        # Its `input` is where it is called, if it is part of another model.
        return model.inputs[0], model.outputs[0]
    return model.input, model.output


def _chain(model: keras.Sequential) -> Graph:
    # Keras allows no "/" in a layer's name.
    key = _Key("/input", 0, 0)
    inputs = [key]
    calls = []
    for layer in model.layers:
        calls.append(_Call(layer, 0, [key], {}))
        key = _Key(layer.name, 0, 0)
    return Graph(inputs, calls, [key])


def _calls(model: keras.Model, config: dict[str, Any]) -> Iterator[_Call]:
    for entry in config["layers"]:
        name = entry["name"]
        for number, node in enumerate(entry["inbound_nodes"]):
            yield _Call(
                model.get_layer(name),
                number,
                _with_keys(node["args"], name),
                _with_keys(node["kwargs"], name),
            )


def _with_keys(value: Any, name: str) -> Any:
    """Arguments as in a model's configuration, with keys for tensors."""
    if isinstance(value, list | tuple):
        return [_with_keys(item, name) for item in value]
    if not isinstance(value, dict):
        return value
    if value.get("class_name") == "__keras_tensor__":
        return _Key(*value["config"]["keras_history"])
    if "class_name" in value:
        raise BridgeError(
            name,
            "is called with a constant array",
            "Make it a weight, a Rescaling or an input.",
        )
    return {key: _with_keys(item, name) for key, item in value.items()}


def _keys(structure: Any) -> list[_Key]:
    """Flattened; a tensor is a list of its layer, call and output."""
    if isinstance(structure, dict):
        parts = [structure[name] for name in sorted(structure)]
    elif isinstance(structure[0], str):
        return [_Key(*structure)]
    else:
        parts = structure
    return [key for part in parts for key in _keys(part)]


def _is_sequential(layer: Any) -> bool:
    return type(layer) is keras.Sequential


def _is_functional(layer: Any) -> bool:
    # `keras.Model(inputs, outputs)` is of a private class. A class derived
    # from it may compute something else than its graph says.
    kind = type(layer)
    return (
        isinstance(layer, keras.Model)
        and kind.__name__ == "Functional"
        and kind.__module__.startswith("keras.src.")
    )
