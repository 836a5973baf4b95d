"""What is kept of one trial, so that it is never trained twice."""

import math
import shutil
from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.callbacks import Row
from keras_ft.errors import InputError
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.training import read_history
from keras_ft.experiments.training import remove_checkpoint
from keras_ft.tuner.checks import OBJECTIVES

PHASE = "distil"
_RESULT = "result.json"
_STUDENTS = "student-*.weights.h5"


class TrialFolder:
    """A trial's rows and best student on disk, and its checkpoint before.

    keras-tuner's own files are written in place and in several steps, so that
    a kill may leave them torn or saying that a finished trial is running.
    These are whole or not there; `result.json` comes last.

    Args:
        path: The folder.
        objective: Name of the objective, one of `OBJECTIVES`.

    Example:

    >>> folder = TrialFolder(Path("cache/trials/1f3a"), "val_accuracy")
    >>> if not folder.has(epochs):
    ...     ...
    """

    def __init__(self, path: Path, objective: str) -> None:
        self.path = path
        self.objective = objective
        self._content: dict[str, Any] = {}
        if (path / _RESULT).exists():
            self._content = artifacts.read_json(path / _RESULT, sealed=True)

    @property
    def failure(self) -> str | None:
        """Why the trial cannot succeed; `None` if nothing is known."""
        return self._content.get("failure")

    def has(self, epochs: int) -> bool:
        """Whether the trial was trained that long, or ended before.

        One whose student was deleted, say because it was damaged, was not.
        """
        rows = self._content.get("rows", [])
        if len(rows) < epochs and not self._content.get("stopped"):
            return False
        return (self.path / _weights(self.best(epochs))).is_file()

    def rows(self, epochs: int) -> list[Row]:
        """The rows of the first epochs of a trial that `has` them."""
        found: list[Row] = self._content["rows"][:epochs]
        return found

    def seconds(self, epochs: int) -> float:
        """What the first epochs took, in phase 2."""
        return sum(row["seconds"] for row in self.rows(epochs))

    def best(self, epochs: int) -> int:
        """Number of the best of the first epochs, from 1."""
        return self.best_of(self.rows(epochs))

    def best_of(self, rows: list[Row]) -> int:
        """Number of the best epoch, the first of equals."""
        sign = 1 if OBJECTIVES[self.objective] == "max" else -1
        values = [sign * row[self.objective] for row in rows]
        return values.index(max(values)) + 1

    def best_weights(self, epochs: int) -> Path:
        """The student at its best epoch, verified.

        Raises:
            InputError: The file is missing or damaged.
        """
        return artifacts.verify(self.path, _weights(self.best(epochs)))

    def clear_up(self) -> None:
        """Removes what a killed process left half-written."""
        artifacts.remove_unfinished(self.path)

    def clear(self) -> None:
        """Forgets an unfinished training."""
        self._content = {}
        shutil.rmtree(self.path, ignore_errors=True)

    def save_if_best(self, student: keras.Model, row: Row) -> None:
        """Keeps the student where it is better than after earlier epochs."""
        rows = read_history(Follower(self.path), PHASE)
        epoch = len(rows) + 1
        if self.best_of([*rows, row]) == epoch:
            path = self.path / _weights(epoch)
            with artifacts.atomic_path(path) as temporary:
                student.save_weights(temporary)

    def finish(self, rows: list[Row], epochs: int, keep_state: bool) -> None:
        """Records a training that came to its end.

        Args:
            rows: One per epoch, from the first on.
            epochs: How many were asked for.
            keep_state: Keep the checkpoint; a longer trial goes on with it.

        Raises:
            InputError: The objective was never finite.
        """
        best = rows[self.best_of(rows) - 1][self.objective]
        if not math.isfinite(best):
            raise InputError(
                self.objective, best, "a finite number", "Lower the rates."
            )
        # A shorter trial of the same values finds its best student as well.
        ends = range(1, len(rows) + 1)
        files = {_weights(self.best_of(rows[:end])) for end in ends}
        artifacts.record(self.path, files)
        self._write({"rows": rows, "stopped": len(rows) < epochs})
        for path in self.path.glob(_STUDENTS):
            if path.name not in files:
                path.unlink()
        if not keep_state:
            remove_checkpoint(Follower(self.path), PHASE)

    def fail(self, reason: str) -> None:
        """Records that the trial fails whenever it is tried so long.

        What it reached in fewer epochs stays.
        """
        self._write({**self._content, "failure": reason})

    def _write(self, content: dict[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(self.path / _RESULT, content, sealed=True)
        self._content = content


def _weights(epoch: int) -> str:
    return f"student-{epoch:04d}.weights.h5"
