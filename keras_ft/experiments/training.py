"""The one way to train: killed at any time, it continues bit for bit."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import multi_worker
from keras_ft import reading
from keras_ft.callbacks import ROW
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.callbacks import Row
from keras_ft.callbacks import read_state
from keras_ft.data.splits import UNLABELLED
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import Progress
from keras_ft.experiments.progress import done_before
from keras_ft.experiments.run_folder import CHECKPOINTS
from keras_ft.experiments.run_folder import history
from keras_ft.models.paraphraser_trainer import ParaphraserTrainer
from keras_ft.optimizers import Schedule
from keras_ft.validation.labels import cross_entropy


def train(
    folder: artifacts.PathLike,
    phase: str,
    model: keras.Model,
    data: Any,
    schedule: Schedule,
    *,
    epochs: int | None = None,
    echo: Echo | None = None,
    placement: Placement | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    metrics: Sequence[keras.metrics.Metric] = (),
) -> list[Row]:
    """Compile and fit a model, continuing where a killed process stopped.

    Writes `history/<phase>.csv` and `tensorboard/<phase>/`, and a checkpoint
    after each epoch. A continued training gives the same weights, bit for
    bit, as an uninterrupted one, because the batches of an epoch depend on
    nothing but the seed and the epoch's number.

    Args:
        folder: Where to keep all of that.
        phase: Names the files.
        model: Built in the placement's scope: a network, or what trains it.
        data: What `data.load` returned, or a `FeatureCache`.
        schedule: Its optimizer and epochs.
        epochs: Stop after so many, those already done included; the
            schedule's if left out.
        echo: Takes lines of progress; `None` shows nothing.
        placement: Where it trains; one device if left out.
        callbacks: Called before an epoch is committed.
        metrics: Watched beside the accuracy.

    Returns:
        One row per epoch: `epoch`, `seconds` and the training's metrics;
        none on workers other than the chief.

    Raises:
        InputError: The checkpoint is damaged, or the loss is not finite.
    """
    placement = placement or Placement()
    epochs = epochs or schedule.epochs
    folder = Path(folder)
    with placement.scope():
        optimizer = schedule.optimizer(data.steps_per_epoch)
        compile_model(model, data, optimizer, metrics)
    checkpoint = EpochCheckpoint(
        folder / CHECKPOINTS / phase,
        lambda rows: artifacts.write_csv(folder / history(phase), rows),
    )
    called = [
        Progress(phase, epochs, data.steps_per_epoch, echo),
        keras.callbacks.TensorBoard(
            folder / "tensorboard" / phase, write_graph=False
        ),
        _FiniteLoss(),
        *callbacks,
    ]
    shared: dict[str, Any] = {
        "epochs": epochs,
        "steps_per_epoch": data.steps_per_epoch,
        "validation_data": data.validation,
        "verbose": 0,
    }
    with placement.whole_batch_statistics(model):
        if placement.name == "multi_worker":
            multi_worker.fit(
                model,
                data.train_from,
                callbacks=called,
                checkpoint_dir=checkpoint,
                **shared,
            )
            return checkpoint.rows
        first = checkpoint.restore(model)
        if first < epochs:
            model.fit(
                data.train_from(first),
                initial_epoch=first,
                shuffle=False,
                # The checkpoint comes last: it commits what the others wrote.
                callbacks=[*called, checkpoint],
                **shared,
            )
        elif echo is not None:
            echo(done_before(phase, first, epochs))
    return checkpoint.rows


def compile_model(
    model: keras.Model,
    data: Any,
    optimizer: Any = "sgd",
    metrics: Sequence[keras.metrics.Metric] = (),
) -> None:
    """Compile a network or what trains it; phase 1 has no labels.

    Args:
        model: In the scope of its strategy.
        data: What it is to train on: mixed labels need another loss, some of
            the images may have none, and classes may count unlike.
        optimizer: As for `model.compile`.
        metrics: Watched beside the accuracy; copied, for they have a state.
    """
    if isinstance(model, ParaphraserTrainer):
        model.compile(optimizer)
        return
    ignored = UNLABELLED if data.has_unlabelled else None
    network = getattr(model, "student", model)
    loss = cross_entropy(data.validation, ignored, network, data.class_weights)
    copies = [type(one).from_config(one.get_config()) for one in metrics]
    model.compile(optimizer, loss, metrics=["accuracy", *copies])


def summary(model: keras.Model, rows: list[Row]) -> dict[str, Any]:
    """Return what a run keeps about a training.

    Returns:
        `seconds` and `epochs`; and `acceleration`, what the model says in
        `accelerated`, where a teacher was used.
    """
    kept: dict[str, Any] = {
        "seconds": round(sum(row["seconds"] for row in rows), 1),
        "epochs": len(rows),
    }
    accelerated = getattr(model, "accelerated", {})
    return kept | ({"acceleration": accelerated} if accelerated else {})


def read_history(folder: artifacts.PathLike, phase: str) -> list[Row]:
    """Return the rows that `train` returned.

    Those of an unfinished phase are taken from its checkpoint, as the file
    for people that follows it has no digest yet; those of a finished one from
    its file.

    Args:
        folder: The run's folder.
        phase: Names the training.

    Raises:
        InputError: A file is damaged.
    """
    state = read_state(Path(folder) / CHECKPOINTS / phase)
    if state is not None:
        found: list[Row] = state["rows"]
        return found
    name = history(phase)
    if not (Path(folder) / name).exists() and (
        name not in artifacts.manifest(folder)
    ):
        return []
    path = artifacts.verify(folder, name)
    rows = reading.read_numbers(path, folder)
    reading.check(rows, [ROW], path)
    return rows


def best_epoch(rows: list[Row]) -> dict[str, Any]:
    """Return validation accuracy after the last epoch and at its best.

    Returns:
        `validation_last`, `validation_best` (0 to 1) and `best_epoch`
        (counted from 1); nothing without validation.
    """
    known = [row for row in rows if "val_accuracy" in row]
    if not known:
        return {}
    best = max(known, key=lambda row: row["val_accuracy"])
    return {
        "validation_last": known[-1]["val_accuracy"],
        "validation_best": best["val_accuracy"],
        "best_epoch": int(best["epoch"]),
    }


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
