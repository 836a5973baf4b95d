"""Keep what a trial found, so that it is never trained twice."""

import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_ft import archives
from keras_ft import artifacts
from keras_ft.callbacks import ROW
from keras_ft.callbacks import Row
from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import CHECKPOINTS
from keras_ft.experiments.training import read_history
from keras_ft.tuner.checks import OBJECTIVES

PHASE = "distill"
_RESULT = "result.json"
_STUDENTS = "student-*.weights.h5"


class TrialFolder:
    """A trial's rows and best student on disk, and its checkpoint before.

    keras-tuner's own files are written in place and in several steps, so that
    a kill may leave them torn or saying that a finished trial is running.
    These are whole or not there; `result.json` comes last.

    Args:
        path: The folder.
        objective: Name of the objective.
        direction: `"max"` or `"min"`; may be left out for one of `OBJECTIVES`.
    """

    def __init__(
        self, path: Path, objective: str, direction: str | None = None
    ) -> None:
        self.path = path
        self.objective = objective
        self.direction = direction or OBJECTIVES[objective]
        self._content: dict[str, Any] = {}
        if (path / _RESULT).exists():
            self._content = artifacts.read_json(
                path / _RESULT,
                sealed=True,
                shape={
                    "rows?": [{**ROW, objective: float}],
                    "stopped?": bool,
                    "failure?": str,
                },
            )

    @property
    def failure(self) -> str | None:
        """Return why the trial cannot succeed; `None` if nothing is known."""
        return self._content.get("failure")

    def has(self, epochs: int) -> bool:
        """Return whether the trial was trained that long, or ended before.

        One whose student was deleted, say because it was damaged, was not.
        """
        rows = self._content.get("rows", [])
        if len(rows) < epochs and not self._content.get("stopped"):
            return False
        return (self.path / _weights(self.best(epochs))).is_file()

    def rows(self, epochs: int) -> list[Row]:
        """Return the rows of the first epochs of a trial that `has` them."""
        found: list[Row] = self._content["rows"][:epochs]
        return found

    def seconds(self, epochs: int) -> float:
        """Return the seconds of the first epochs, in phase 2."""
        return sum(row["seconds"] for row in self.rows(epochs))

    def best(self, epochs: int) -> int:
        """Return the number of the best of the first epochs, from 1."""
        return self.best_of(self.rows(epochs))

    def best_of(self, rows: list[Row]) -> int:
        """Return the number of the best epoch, the first of equals."""
        sign = 1 if self.direction == "max" else -1
        values = [sign * row[self.objective] for row in rows]
        return values.index(max(values)) + 1

    def best_weights(self, epochs: int) -> Path:
        """Return the student's file of its best epoch, verified.

        Raises:
            InputError: The file is missing or damaged.
        """
        return artifacts.verify(self.path, _weights(self.best(epochs)))

    def clear_up(self) -> None:
        """Remove what a killed process left half-written."""
        artifacts.remove_unfinished(self.path)

    def clear(self) -> None:
        """Forget an unfinished training."""
        self._content = {}
        shutil.rmtree(self.path, ignore_errors=True)

    def save_if_best(self, student: keras.Model, row: Row) -> None:
        """Keep the student where it is better than after earlier epochs."""
        rows = read_history(self.path, PHASE)
        epoch = len(rows) + 1
        if self.best_of([*rows, row]) == epoch:
            path = self.path / _weights(epoch)
            with artifacts.atomic_path(path) as temporary:
                student.save_weights(temporary)

    def finish(self, rows: list[Row], epochs: int, keep_state: bool) -> None:
        """Record a training that came to its end.

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
            shutil.rmtree(self.path / CHECKPOINTS, ignore_errors=True)

    def fail(self, reason: str) -> None:
        """Record that the trial fails whenever it is tried so long.

        What it reached in fewer epochs stays.
        """
        self._write({**self._content, "failure": reason})

    def _write(self, content: dict[str, Any]) -> None:
        self.path.mkdir(parents=True, exist_ok=True)
        artifacts.write_json(self.path / _RESULT, content, sealed=True)
        self._content = content


def _weights(epoch: int) -> str:
    return f"student-{epoch:04d}.weights.h5"


class KeepBest(keras.callbacks.Callback):
    """Save the student alone after each epoch that is the best so far.

    Args:
        folder: Where to.
        student: What to save; the trained model holds a paraphraser and a
            translator as well.
    """

    def __init__(self, folder: TrialFolder, student: keras.Model) -> None:
        super().__init__()
        self.folder = folder
        self.student = student

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.folder.save_if_best(self.student, row)


def is_tuners_checkpoint(callback: Any) -> bool:
    """Return whether it is what `get_best_models` relies on."""
    return type(callback).__name__ == "SaveBestEpoch"


def show_best(
    callbacks: Sequence[Any],
    student: keras.Model,
    folder: TrialFolder,
    epochs: int,
) -> None:
    """Let keras-tuner's checkpoint see the best epoch, and it alone.

    Attached to the training itself it would save the paraphraser and the
    translator too, and forget after a kill which epoch was the best.
    """
    archives.load_weights(student, folder.best_weights(epochs))
    best = folder.best(epochs)
    for callback in filter(is_tuners_checkpoint, callbacks):
        callback.set_model(student)
        callback.on_epoch_end(best - 1, folder.rows(epochs)[best - 1])


def history_of(folder: TrialFolder, epochs: int) -> keras.callbacks.History:
    """Return a trial's rows as `fit` would have returned them."""
    history = keras.callbacks.History()
    rows = folder.rows(epochs)
    names = [name for name in rows[0] if name not in ("epoch", "seconds")]
    history.history = {name: [row[name] for row in rows] for name in names}
    return history
