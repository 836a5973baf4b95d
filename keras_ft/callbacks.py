"""Continue an interrupted training at its last complete epoch, bit for bit."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_ft import archives
from keras_ft import artifacts
from keras_ft import reading
from keras_ft.errors import InputError

_STATE = "state.json"
_WEIGHTS = "*.weights.h5"
# An epoch of a history.
ROW = {"epoch": float, "seconds": float, str: reading.NUMBER}
_STATE_SHAPE = {
    "weights": reading.NAME,
    "sha256": str,
    "seeds": [[int]],
    "rows": [ROW],
}

Row = dict[str, float]


class EpochCheckpoint(keras.callbacks.Callback):
    """Save weights, optimizer, seeds and history after every epoch.

    Call `restore` before `fit`, and begin with the epoch that it returns.

    The weights go to a file of their own; one small `state.json`, replaced
    last, names them with their digest. So all of it changes at once, and the
    previous epoch stays valid until then. Keras' `BackupAndRestore` writes two
    files in place instead: a kill between them trains an epoch twice.

    Args:
        folder: Where to keep the checkpoint; one folder per training.
        on_commit: Called with all rows of the history, after each epoch and
            after `restore`.

    Example:

    >>> checkpoint = EpochCheckpoint("runs/first/checkpoints/ft")
    >>> first = checkpoint.restore(model)
    >>> history = model.fit(
    ...     data.train_from(first),
    ...     initial_epoch=first,
    ...     epochs=5,
    ...     steps_per_epoch=data.steps_per_epoch,
    ...     callbacks=[checkpoint],
    ... )
    """

    def __init__(
        self,
        folder: artifacts.PathLike,
        on_commit: Callable[[list[Row]], None] | None = None,
    ) -> None:
        super().__init__()
        self.folder = Path(folder)
        self.rows: list[Row] = []
        self._on_commit = on_commit
        self._epoch_started = 0.0

    def restore(self, model: keras.Model) -> int:
        """Load the last complete epoch into a built and compiled model.

        Returns:
            The number of epochs done, which is the epoch to begin with.

        Raises:
            InputError: A file of the checkpoint is missing or damaged, or
                belongs to another model.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        reading.check_folder(self.folder)
        artifacts.remove_unfinished(self.folder)
        state = read_state(self.folder)
        if state is None:
            return 0
        weights = self.folder / state["weights"]
        try:
            artifacts.verified(weights, state["sha256"], self.folder)
        except InputError as error:
            raise _unusable(weights, error.received) from error
        if not model.optimizer.built:
            model.optimizer.build(model.trainable_variables)
        try:
            archives.load_weights(model, weights)
            for seed, value in zip(_seeds(model), state["seeds"], strict=True):
                seed.assign(np.array(value, dtype=seed.dtype))
        except (ValueError, OverflowError) as error:
            received = getattr(error, "received", None) or error
            raise _unusable(weights, received) from error
        self.rows = state["rows"]
        self._publish()
        return len(self.rows)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_started = time.monotonic()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row: Row = {
            "epoch": epoch + 1,
            "seconds": round(time.monotonic() - self._epoch_started, 3),
        }
        row.update({name: float(value) for name, value in (logs or {}).items()})
        self.rows = [*self.rows, row]
        self._commit(f"epoch-{epoch + 1:04d}.weights.h5")
        self._publish()

    def _commit(self, name: str) -> None:
        with artifacts.atomic_path(self.folder / name) as temporary:
            self.model.save_weights(temporary)
            digest = artifacts.sha256(temporary)
        seeds = _seeds(self.model)
        state = {
            "weights": name,
            "sha256": digest,
            "seeds": [np.asarray(seed).tolist() for seed in seeds],
            "rows": self.rows,
        }
        artifacts.write_json(self.folder / _STATE, state, sealed=True)
        for old in self.folder.glob(_WEIGHTS):
            if old.name != name:
                old.unlink()

    def _publish(self) -> None:
        if self._on_commit is not None:
            self._on_commit(self.rows)


def _seeds(model: keras.Model) -> list[Any]:
    # Dropout's random state is a variable, but save_weights leaves it out.
    return [
        variable
        for variable in model.variables
        if variable.name == "seed_generator_state"
    ]


def read_state(folder: artifacts.PathLike) -> dict[str, Any] | None:
    """Return what an `EpochCheckpoint` keeps beside the weights.

    Args:
        folder: Its folder.

    Returns:
        `weights`, the file; `sha256`, its digest; `seeds`; and `rows`, the
        history. `None` where there is no checkpoint.

    Raises:
        InputError: The file is damaged.
    """
    path = Path(folder) / _STATE
    if not path.exists():
        return None
    state: dict[str, Any] = artifacts.read_json(
        path, sealed=True, shape=_STATE_SHAPE
    )
    return state


def _unusable(weights: Path, received: Any) -> InputError:
    return InputError(
        str(weights),
        received,
        "the checkpoint as it was saved",
        f"Delete the folder {weights.parent} to train this phase anew.",
    )
