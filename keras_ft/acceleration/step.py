"""One step of a flat graph."""

from dataclasses import dataclass
from dataclasses import field
from typing import Any

import keras


@dataclass
class Step:
    """One call of a layer or operation.

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
