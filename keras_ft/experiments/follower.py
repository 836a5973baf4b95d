"""The run folder as the workers see it that are not the chief."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any
from typing import Self

from keras_ft import artifacts


class Follower:
    """Stands in for `RunFolder` and writes nothing.

    What the chief decides and measures reaches a worker by
    `Placement.agree`; this keeps it for the rest of the run.

    Args:
        path: The run's folder, which the chief holds.

    Example:

    >>> with Follower("runs/first") as run:
    ...     run.finish("teacher", [], {"accuracy": 0.93})
    """

    # Comparing with what a folder holds is the chief's part.
    holds_results = False

    def __init__(self, path: artifacts.PathLike) -> None:
        self.path = Path(path)
        self.content: dict[str, Any] = {"phases": {}}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def note(self, name: str, content: Any) -> None:
        """The chief's part."""

    def is_finished(self, phase: str) -> bool:
        """Whether `finish` was called for `phase`."""
        return phase in self.content["phases"]

    def result(self, phase: str) -> dict[str, Any]:
        """What `finish` was told."""
        result: dict[str, Any] = self.content["phases"][phase]["result"]
        return result

    def finish(
        self, phase: str, names: Iterable[str], result: dict[str, Any]
    ) -> None:
        """Keep a phase's result."""
        self.content["phases"][phase] = {"result": result}

    def verify(self, phase: str) -> None:
        """The chief's part."""
