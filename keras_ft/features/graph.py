"""Walk the graph of a Functional or Sequential model."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Step:
    """Hold one tensor of a model and what makes it.

    Attributes:
        name: Of its layer or operation, `backbone/layer` in a nested model.
        operation: The layer or operation; None for an input of the model.
        tensor: The symbolic tensor, in the graph that owns it.
        sources: Places of the steps that it is made from.
    """

    name: str
    operation: Any
    tensor: Any
    sources: tuple[int, ...]


def steps(model: keras.Model) -> tuple[list[Step], list[int]]:
    """List a model's computation in order, nested models opened.

    Returns:
        The steps, those of the inputs first, and the places of the model's
        outputs among them.
    """
    found = [Step("", None, tensor, ()) for tensor in model.inputs]

    def add(
        model: keras.Model, inputs: Sequence[int], prefix: str
    ) -> list[int]:
        # Extra arguments of a nested model come with its first input.
        known = {
            id(tensor): place
            for tensor, place in itertools.zip_longest(
                model.inputs, inputs[: len(model.inputs)], fillvalue=inputs[0]
            )
        }
        opened: set[int] = set()
        for operation, tensor in nodes(model):
            node = operation._inbound_nodes[tensor._keras_history.node_index]
            sources = [known[id(source)] for source in node.input_tensors]
            name = f"{prefix}{operation.name}"
            if not (isinstance(operation, keras.Model) and operation.outputs):
                known[id(tensor)] = len(found)
                unique = tuple(dict.fromkeys(sources))
                found.append(Step(name, operation, tensor, unique))
            elif id(node) not in opened:
                opened.add(id(node))
                places = add(operation, sources, f"{name}/")
                for made, place in zip(node.outputs, places, strict=True):
                    known[id(made)] = place
        return [known[id(tensor)] for tensor in model.outputs]

    return found, add(model, range(len(found)), "")


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
