"""`fit` for several machines."""

from collections.abc import Iterable
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.distribution import exchange
from keras_ft.distribution import worker_lost_error
from keras_ft.distribution.cluster import is_chief
from keras_ft.distribution.loop import Loop
from keras_ft.errors import InputError
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.validation.data import check_data
from keras_ft.validation.data import data_size
from keras_ft.validation.in_graph import explained_errors
from keras_ft.validation.strategy_checks import batches

# They write files, which is the chief's part.
_WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)
# TensorFlow's class of today, and the name it had before.
_STRATEGIES = ("CollectiveAllReduceStrategy", "MultiWorkerMirroredStrategy")


def fit(
    model: keras.Model,
    x: Any,
    *,
    epochs: int = 1,
    steps_per_epoch: int | None = None,
    validation_data: Any = None,
    callbacks: Iterable[keras.callbacks.Callback] = (),
    checkpoint_dir: artifacts.PathLike | EpochCheckpoint | None = None,
    verbose: int | str = "auto",
) -> keras.callbacks.History:
    """Trains a model on all workers of its `MultiWorkerMirroredStrategy`.

    Every worker runs the same program and makes this call. A batch is shared
    out over all replicas, so that the weights after an epoch are those that
    one device would have reached with the same batches. What the chief's
    first replica holds is the model: its statistics of batch normalization
    are given to all at the end of each epoch (use
    `BatchNormalization(synchronized=True)` for statistics of whole batches).

    When a worker dies or freezes, the others stop with a `WorkerLostError`
    within about ten seconds. Started again with the same `checkpoint_dir`,
    all continue at the last complete epoch.

    Args:
        model: Made and compiled in the strategy's scope: a `FactorTransfer`,
            `ParaphraserTrainer` or any Keras model.
        x: A `tf.data.Dataset` of whole batches `(x, y[, sample_weight])`,
            begun anew each epoch, the same on every worker. Or a function of
            an epoch's number that returns an endless dataset from there on,
            such as `data.train_from`: a continued training then sees exactly
            the batches of an uninterrupted one. The batch size is static and
            divides by the number of replicas.
        epochs: All epochs, those of earlier processes included.
        steps_per_epoch: Batches per epoch; needed where the dataset does not
            know its length.
        validation_data: A `tf.data.Dataset`; its batches are dealt out to
            the workers and need not divide.
        callbacks: `CSVLogger`, `ModelCheckpoint` and `TensorBoard` run on the
            chief only, all others on every worker, with the same logs.
            Batches have no logs, epochs have.
        checkpoint_dir: Where the chief keeps the last complete epoch. It need
            not be reachable by the others. An `EpochCheckpoint` is taken as
            it is.
        verbose: 0 silent, 1 bar, 2 line per epoch, on the chief; `"auto"`
            is 1.

    Returns:
        The history, with the epochs of earlier processes where
        `checkpoint_dir` has them, the same on every worker.

    Raises:
        InputError: The model, data or callbacks do not fit, before the first
            step.
        WorkerLostError: Another worker is gone.

    Example:

    >>> strategy = keras_ft.multi_worker.strategy()
    >>> data = keras_ft.data.load("cifar10", drop_remainder=True)
    >>> with strategy.scope():
    ...     model = keras_ft.FactorTransfer(teacher(), student(), paraphraser)
    ...     model.compile("sgd", loss, metrics=["accuracy"])
    >>> keras_ft.multi_worker.fit(
    ...     model,
    ...     data.train_from,
    ...     steps_per_epoch=data.steps_per_epoch,
    ...     validation_data=data.validation,
    ...     epochs=20,
    ...     checkpoint_dir="checkpoints",
    ... )
    """
    strategy = _strategy(model)
    chief = is_chief(strategy)
    first = x(0) if callable(x) else x
    steps = _steps(first, steps_per_epoch)
    _check(model, first, validation_data, strategy.num_replicas_in_sync)
    kept = _callbacks(callbacks, chief)
    checkpoint = _checkpoint(checkpoint_dir) if chief else None
    if checkpoint is not None:
        # Last: it commits what the others wrote.
        kept.append(checkpoint)
    shown = int(chief) if verbose == "auto" else int(verbose) * chief
    with (
        worker_lost_error.explained(_remedy(checkpoint_dir)),
        explained_errors(),
    ):
        # Only here in its scope: what makes a variable there, and saving a
        # file does, is a collective operation.
        with strategy.scope():
            # Keras builds metrics and optimizer in `fit`, which this replaces.
            model._symbolic_build(data_batch=first.element_spec)
        loop = Loop(model, strategy, steps, validation_data)
        history = loop.run(x, loop.resume(checkpoint), epochs, kept, shown)
        # Nobody leaves while the chief still writes.
        exchange.text_from_chief(strategy, "")
    if isinstance(model, FrozenTeacherModel):
        model._after_fit()
    return history


def _strategy(model: keras.Model) -> Any:
    strategy = getattr(model, "distribute_strategy", None)
    if type(strategy).__name__ not in _STRATEGIES:
        raise InputError(
            "model",
            f"'{model.name}', made without a MultiWorkerMirroredStrategy",
            "a model made under one",
            "Make it in keras_ft.multi_worker.strategy().scope(), or train it "
            "with its own fit().",
        )
    return strategy


def _steps(dataset: Any, steps_per_epoch: int | None) -> int:
    steps = steps_per_epoch or data_size(dataset)
    if steps is None or not hasattr(dataset, "element_spec"):
        raise InputError(
            "steps_per_epoch",
            f"None, for {type(dataset).__name__}",
            "a tf.data.Dataset and the number of its batches in an epoch",
            "Pass steps_per_epoch=data.steps_per_epoch.",
        )
    return int(steps)


def _check(
    model: keras.Model, dataset: Any, validation_data: Any, replicas: int
) -> None:
    if isinstance(model, FrozenTeacherModel):
        model._check_models()
        model._check_data(dataset, None)
    check_data(model, dataset)
    batches.check_training({"x": dataset}, replicas)
    if validation_data is not None:
        check_data(model, validation_data)


def _callbacks(
    callbacks: Iterable[keras.callbacks.Callback], chief: bool
) -> list[keras.callbacks.Callback]:
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise InputError(
                "callbacks",
                "BackupAndRestore",
                "callbacks that treat all workers alike",
                "Pass checkpoint_dir instead: it gives the chief's state to "
                "all workers.",
            )
    if chief:
        return callbacks
    return [one for one in callbacks if not isinstance(one, _WRITERS)]


def _checkpoint(
    checkpoint_dir: artifacts.PathLike | EpochCheckpoint | None,
) -> EpochCheckpoint | None:
    if checkpoint_dir is None or isinstance(checkpoint_dir, EpochCheckpoint):
        return checkpoint_dir
    return EpochCheckpoint(checkpoint_dir)


def _remedy(
    checkpoint_dir: artifacts.PathLike | EpochCheckpoint | None,
) -> str:
    if checkpoint_dir is None:
        return "Pass checkpoint_dir to continue instead of beginning anew."
    folder = getattr(checkpoint_dir, "folder", checkpoint_dir)
    return (
        "Start all workers again: they continue after the last complete epoch "
        f"in {folder}."
    )
