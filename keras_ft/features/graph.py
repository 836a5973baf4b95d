"""Walk the graph of a Functional or Sequential model."""

from collections.abc import Iterator
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.validation.models import check_model


def check_has_graph(model: Any) -> None:
    """Refuse anything but a built Functional or Sequential model."""
    # A subclassed model has none, whether built or not.
    if isinstance(model, keras.Sequential) or not isinstance(
        model, keras.Model
    ):
        check_model("model", model)
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise InputError(
            "model",
            f"subclassed model '{model.name}' ({type(model).__name__}), "
            "which has no graph of layers",
            "a Functional or Sequential model",
            "Rebuild it with the Functional API: keras.Model(inputs, outputs).",
        )


def tensors(
    model: keras.Model, prefix: str = ""
) -> Iterator[tuple[str, Any, Any]]:
    """Yield (name, operation, tensor) in order of computation."""
    for operation, tensor in nodes(model):
        if isinstance(operation, keras.layers.InputLayer):
            continue
        if isinstance(operation, keras.Model) and operation.outputs:
            inner = f"{prefix}{operation.name}/"
            yield from tensors(operation, inner)
        else:
            yield f"{prefix}{operation.name}", operation, tensor


def nodes(model: keras.Model) -> list[tuple[Any, Any]]:
    """List the operations and outputs behind a model's outputs, in order.

    `_keras_history` is how Keras itself walks a graph; the public API offers
    layers but not which call of a layer belongs to which graph.
    """
    order: list[tuple[Any, Any]] = []
    done: set[int] = set()
    stops = {id(tensor) for tensor in model.inputs}
    stack = [(tensor, False) for tensor in reversed(model.outputs)]
    while stack:
        tensor, expanded = stack.pop()
        if expanded:
            order.append((tensor._keras_history.operation, tensor))
            continue
        if id(tensor) in done or id(tensor) in stops:
            continue
        done.add(id(tensor))
        stack.append((tensor, True))
        history = tensor._keras_history
        node = history.operation._inbound_nodes[history.node_index]
        stack.extend((parent, False) for parent in reversed(node.input_tensors))
    return order
