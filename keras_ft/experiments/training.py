"""Train one phase of a run so that it can be killed at any time."""

import csv
import io
import math
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import multi_worker
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.callbacks import Row
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import Progress
from keras_ft.experiments.progress import done_before
from keras_ft.experiments.run_folder import CHECKPOINTS
from keras_ft.experiments.run_folder import RunFolder


def train(
    run: RunFolder | Follower,
    phase: str,
    model: keras.Model,
    data: Any,
    epochs: int,
    echo: Echo | None = None,
    placement: Placement | None = None,
    more_callbacks: Sequence[keras.callbacks.Callback] = (),
) -> list[Row]:
    """Fit a compiled model, continuing where a killed process stopped.

    Writes `history/<phase>.csv` and `tensorboard/<phase>/`, and a checkpoint
    after each epoch. A continued training gives the same weights, bit for
    bit, as an uninterrupted one, because the batches of an epoch depend on
    nothing but the seed and the epoch's number.

    Args:
        run: The run's folder, entered.
        phase: Names the files.
        model: Built and compiled, in the placement's scope.
        data: What `data.load` returned.
        epochs: All epochs of the phase, those already done included.
        echo: Takes lines of progress; `None` shows nothing.
        placement: Where it trains; one device if left out.
        more_callbacks: Called before an epoch is committed.

    Returns:
        One row per epoch: `epoch`, `seconds` and the training's metrics;
        none on workers other than the chief.

    Raises:
        InputError: The checkpoint is damaged, or the loss is not finite.

    Example:

    >>> with RunFolder("runs/first", {"seed": 0}) as run:
    ...     rows = train(run, "distil", model, data, epochs=20)
    >>> rows[-1]["val_accuracy"]
    """
    path = run.path / history(phase)
    checkpoint = EpochCheckpoint(
        checkpoint_folder(run, phase), lambda rows: _write_csv(path, rows)
    )
    callbacks = [
        Progress(phase, epochs, data.steps_per_epoch, echo),
        keras.callbacks.TensorBoard(
            run.path / "tensorboard" / phase, write_graph=False
        ),
        _FiniteLoss(),
        *more_callbacks,
    ]
    if placement is not None and placement.name == "multi_worker":
        multi_worker.fit(
            model,
            data.train_from,
            epochs=epochs,
            steps_per_epoch=data.steps_per_epoch,
            validation_data=data.validation,
            callbacks=callbacks,
            checkpoint_dir=checkpoint,
            verbose=0,
        )
        return checkpoint.rows
    first = checkpoint.restore(model)
    if first < epochs:
        model.fit(
            data.train_from(first),
            validation_data=data.validation,
            initial_epoch=first,
            epochs=epochs,
            steps_per_epoch=data.steps_per_epoch,
            shuffle=False,
            verbose=0,
            # The checkpoint comes last: it commits what the others wrote.
            callbacks=[*callbacks, checkpoint],
        )
    elif echo is not None:
        echo(done_before(phase, first, epochs))
    return checkpoint.rows


def compile_model(
    model: keras.Model, optimizer: Any = "sgd", labels: bool = True
) -> None:
    """Compile a model for a phase.

    Args:
        model: A network, or what wraps it.
        optimizer: Of the phase's schedule.
        labels: Whether it learns from labels, as all but phase 1 do.
    """
    if not labels:
        model.compile(optimizer)
        return
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer, loss, metrics=["accuracy"])


class _FiniteLoss(keras.callbacks.Callback):
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        loss = float((logs or {}).get("loss", 0.0))
        if not math.isfinite(loss):
            raise InputError(
                "loss",
                f"{loss} at batch {batch + 1}",
                "a finite number",
                "Use a smaller learning rate or beta. The run folder keeps "
                "the last good epoch.",
            )


def history(phase: str) -> str:
    """Where the phase's rows are, relative to the run's folder."""
    return f"history/{phase}.csv"


def checkpoint_folder(run: RunFolder | Follower, phase: str) -> Path:
    """Where the phase's checkpoint is kept while it trains."""
    return run.path / CHECKPOINTS / phase


def remove_checkpoint(run: RunFolder | Follower, phase: str) -> None:
    """Remove the checkpoint of a finished phase."""
    shutil.rmtree(checkpoint_folder(run, phase), ignore_errors=True)


def read_history(run: RunFolder | Follower, phase: str) -> list[Row]:
    """The rows that `train` returned, read from `history/<phase>.csv`."""
    path = run.path / history(phase)
    if not path.is_file():
        return []
    with open(path, newline="", encoding="utf-8") as file:
        return [
            {name: float(value) for name, value in row.items() if value}
            for row in csv.DictReader(file)
        ]


def _write_csv(path: Path, rows: list[Row]) -> None:
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    artifacts.write_text(path, text.getvalue())
