"""List a network's computation as flat steps, nested models opened."""

from collections import Counter
from collections.abc import Iterator
from collections.abc import Sequence
from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras

from keras_ft.features import graph

# They return their input in inference. Exact types: a subclass may not.
_IDENTITIES = {
    keras.layers.ActivityRegularization,
    keras.layers.AlphaDropout,
    keras.layers.Dropout,
    keras.layers.GaussianDropout,
    keras.layers.GaussianNoise,
    keras.layers.SpatialDropout1D,
    keras.layers.SpatialDropout2D,
    keras.layers.SpatialDropout3D,
}


class NotFoldableError(ValueError):
    """Raised for a network that cannot be folded; itself it still works.

    Args:
        network: The network's name.
        reason: Why, in words that a user can read: the layer, or the figure
            that missed its bound.
    """

    def __init__(self, network: str, reason: str) -> None:
        super().__init__(network, reason)
        self.network = network
        self.reason = reason

    def __str__(self) -> str:
        return f"'{self.network}' cannot be folded: {self.reason}."


@dataclass
class Step:
    """Record one call of a layer or operation.

    Attributes:
        operation: The layer or operation itself.
        name: A name of its own in the flat graph.
        args: Positional arguments, with numbers for tensors.
        kwargs: Keyword arguments, likewise.
        inputs: The numbers in both, in order.
        outputs: The numbers of its results.
        norms: Batch normalizations folded into the operation, in order.
    """

    operation: Any
    name: str
    args: Any
    kwargs: dict[str, Any]
    inputs: list[int]
    outputs: list[int]
    norms: list[Any] = field(default_factory=list)

    @property
    def is_layer(self) -> bool:
        return isinstance(self.operation, keras.layers.Layer)

    def __str__(self) -> str:
        kind = "layer" if self.is_layer else "operation"
        return f"{kind} '{self.name}' ({type(self.operation).__name__})"


@dataclass(frozen=True)
class _Value:
    """Stand for a tensor in the arguments of a step."""

    index: int


class FlatGraph:
    """List the steps of a network from inputs to outputs, in order.

    Tensors are numbers: those of the inputs first, then one per result. The
    network is read, never called.

    Args:
        network: A Functional or Sequential model; nested ones are opened.
        keep: Which of the outputs, flattened, are wanted; None for all. What
            the others alone need is left out.

    Raises:
        NotFoldableError: A model without a graph is part of it.
    """

    def __init__(
        self, network: keras.Model, keep: Sequence[int] | None = None
    ) -> None:
        self.network = network
        self.steps: list[Step] = []
        self._names: dict[int, str] = {}
        self._count = 0
        self._check_model(network)
        self.inputs = [self._number() for _ in network.inputs]
        for tensor in network.inputs:
            self._name(tensor, tensor.name)
        outputs = self._open(network, self.inputs, prefix="")
        self.keep = list(range(len(outputs)) if keep is None else keep)
        self.outputs = [outputs[index] for index in self.keep]
        self._prune()

    def uses(self) -> Counter[int]:
        """Count the uses of each tensor; being an output is one use."""
        return Counter(
            [*(i for step in self.steps for i in step.inputs), *self.outputs]
        )

    def calls(self) -> Counter[int]:
        """Count the calls of each operation, by its id."""
        return Counter(id(step.operation) for step in self.steps)

    def layers(self) -> Iterator[Step]:
        """Yield the first step of each layer."""
        seen: set[int] = set()
        for step in self.steps:
            if step.is_layer and id(step.operation) not in seen:
                seen.add(id(step.operation))
                yield step

    def arguments(self, step: Step, values: dict[int, Any]) -> Any:
        """Return a step's (args, kwargs), tensors in the place of numbers."""
        return keras.tree.map_structure(
            lambda x: values[x.index] if isinstance(x, _Value) else x,
            (step.args, step.kwargs),
        )

    def refuse(self, reason: str) -> NotFoldableError:
        """Return the error that says why this network is not folded."""
        return NotFoldableError(self.network.name, reason)

    def _open(
        self, model: keras.Model, inputs: list[int], prefix: str
    ) -> list[int]:
        """Add a model's steps; return the numbers of its outputs."""
        known = {
            id(tensor): number
            for tensor, number in zip(model.inputs, inputs, strict=True)
        }
        done: set[int] = set()
        for operation, tensor in graph.nodes(model):
            node = operation._inbound_nodes[tensor._keras_history.node_index]
            if id(node) in done:
                continue
            done.add(id(node))
            numbers = self._add(operation, node, known, prefix)
            for made, number in zip(node.outputs, numbers, strict=True):
                known[id(made)] = number
        return [known[id(tensor)] for tensor in model.outputs]

    def _add(
        self, operation: Any, node: Any, known: dict[int, int], prefix: str
    ) -> list[int]:
        arguments = node.arguments
        args, kwargs = arguments.convert(
            lambda x: (
                _Value(known[id(x)]) if isinstance(x, keras.KerasTensor) else x
            )
        )
        inputs = [known[id(tensor)] for tensor in arguments.keras_tensors]
        if isinstance(operation, keras.layers.Layer):
            # A caller's training=False overrides what the graph has here.
            kwargs.pop("training", None)
        name = f"{prefix}{operation.name}"
        if isinstance(operation, keras.Model):
            self._check_model(operation)
            if len(inputs) != len(operation.inputs):
                raise self.refuse(f"model '{name}' is called with extras")
            return self._open(operation, inputs, f"{name}_")
        if type(operation) in _IDENTITIES:
            return inputs[:1]
        numbers = [self._number() for _ in node.outputs]
        name = self._name(operation, name)
        self.steps.append(Step(operation, name, args, kwargs, inputs, numbers))
        return numbers

    def _number(self) -> int:
        self._count += 1
        return self._count - 1

    def _name(self, operation: Any, wanted: str) -> str:
        """Return a name of its own for each operation, the same every time."""
        taken = set(self._names.values())
        free, more = wanted, 1
        while free in taken:
            free, more = f"{wanted}_{more}", more + 1
        return self._names.setdefault(id(operation), free)

    def _prune(self) -> None:
        needed, kept = set(self.outputs), []
        for step in reversed(self.steps):
            if needed.intersection(step.outputs):
                needed.update(step.inputs)
                kept.append(step)
        self.steps = kept[::-1]

    def _check_model(self, model: Any) -> None:
        own = [c for c in type(model).__mro__ if not is_keras(c)]
        if any("call" in vars(c) or "__call__" in vars(c) for c in own):
            raise self.refuse(
                f"model '{model.name}' ({type(model).__name__}) has a `call` "
                "of its own"
            )
        if not (
            getattr(model, "inputs", None) and getattr(model, "outputs", None)
        ):
            raise self.refuse(f"model '{model.name}' has no graph of layers")


def is_keras(cls: type) -> bool:
    """Return whether a class is Keras' own."""
    return cls.__module__.split(".")[0] == "keras"
