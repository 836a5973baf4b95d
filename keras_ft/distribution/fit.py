"""`fit` for several machines: epochs of training and validation on all.

Keras 3's own loop does not run there, but a model's `train_step` and
`test_step` do. Every worker makes the same calls in the same order, because
the steps, the metrics' results and the exchanges are collective operations.
"""

import json
from collections.abc import Iterable
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.callbacks import EpochCheckpoint
from keras_ft.callbacks import Row
from keras_ft.distribution import cluster
from keras_ft.errors import InputError
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.validation import in_graph
from keras_ft.validation import strategies
from keras_ft.validation.data import check_data
from keras_ft.validation.data import data_size

# They write files, which is the chief's part.
_WRITERS = (
    keras.callbacks.CSVLogger,
    keras.callbacks.ModelCheckpoint,
    keras.callbacks.TensorBoard,
)
# Of a checkpoint's row, what is no metric.
_NO_METRIC = ("epoch", "seconds")


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
    """Train a model on all workers of its `MultiWorkerMirroredStrategy`.

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
    >>> data = keras_ft.data.load(
    ...     "fashion_mini", train_examples=1000, drop_remainder=True)
    >>> with strategy.scope():
    ...     teacher = keras.models.load_model("teacher.keras", compile=False)
    ...     paraphraser = keras_ft.Paraphraser(rate=0.5)
    ...     phase1 = keras_ft.ParaphraserTrainer(teacher, paraphraser)
    ...     phase1.compile("sgd")
    >>> history = keras_ft.multi_worker.fit(
    ...     phase1,
    ...     data.train_from,
    ...     steps_per_epoch=data.steps_per_epoch,
    ...     validation_data=data.validation,
    ...     epochs=2,
    ...     checkpoint_dir="checkpoints",
    ... )
    """
    strategy = _strategy(model)
    chief = cluster.is_chief(strategy)
    first = x(0) if callable(x) else x
    steps = _steps(first, steps_per_epoch)
    _check(model, first, validation_data, strategy.num_replicas_in_sync)
    kept = _callbacks(callbacks, chief)
    checkpoint = None
    if chief and checkpoint_dir is not None:
        checkpoint = (
            checkpoint_dir
            if isinstance(checkpoint_dir, EpochCheckpoint)
            else EpochCheckpoint(checkpoint_dir)
        )
        # Last: it commits what the others wrote.
        kept.append(checkpoint)
    shown = int(chief) if verbose == "auto" else int(verbose) * chief
    folder = getattr(checkpoint_dir, "folder", checkpoint_dir)
    with cluster.explained_loss(folder), in_graph.explained_errors():
        # Only here in its scope: what makes a variable there, and saving a
        # file does, is a collective operation.
        with strategy.scope():
            # Keras builds metrics and optimizer in `fit`, which this
            # replaces, and has no public method for it.
            model._symbolic_build(data_batch=first.element_spec)
        loop = _Loop(model, strategy, steps, validation_data)
        history = loop.run(x, loop.resume(checkpoint), epochs, kept, shown)
        # Nobody leaves while the chief still writes.
        cluster.text_from_chief(strategy, "")
    if isinstance(model, FrozenTeacherModel):
        model.mark_if_trained(history)
    return history


def _strategy(model: keras.Model) -> Any:
    strategy = getattr(model, "distribute_strategy", None)
    if not strategies.spans_machines(strategy):
        raise InputError(
            f"'{model.name}' was made without a MultiWorkerMirroredStrategy. "
            "Make it in keras_ft.multi_worker.strategy().scope(), or train it "
            "with its own fit()."
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
        model.check(dataset)
    else:
        check_data(model, dataset)
    strategies.check_training_batches({"x": dataset}, replicas)
    if validation_data is not None:
        check_data(model, validation_data)


def _callbacks(
    callbacks: Iterable[keras.callbacks.Callback], chief: bool
) -> list[keras.callbacks.Callback]:
    callbacks = list(callbacks)
    for callback in callbacks:
        if isinstance(callback, keras.callbacks.BackupAndRestore):
            raise InputError(
                "BackupAndRestore does not treat all workers alike. Pass "
                "checkpoint_dir instead: it gives the chief's state to all."
            )
    if chief:
        return callbacks
    return [one for one in callbacks if not isinstance(one, _WRITERS)]


class _Loop:
    """Run a model's own `train_step` and `test_step` on all workers.

    Args:
        model: Made in the strategy's scope, compiled and built.
        strategy: A `MultiWorkerMirroredStrategy`.
        steps: Batches per epoch.
        validation_data: Finite `tf.data.Dataset` of whole batches, or None.
    """

    def __init__(
        self,
        model: keras.Model,
        strategy: Any,
        steps: int,
        validation_data: Any = None,
    ) -> None:
        import tensorflow as tf

        self.model = model
        self.strategy = strategy
        self.steps = steps
        self._validation = None
        if validation_data is not None:
            # Whole batches are dealt out: nothing in a test step is
            # collective, so that workers may take different numbers of them.
            self._validation = _own_share(strategy, validation_data)
        self._train = tf.function(
            lambda iterator: strategy.run(
                model.train_step, args=(next(iterator),)
            )
        )
        self._test = tf.function(
            lambda batch: strategy.run(model.test_step, args=(batch,)),
            reduce_retracing=True,
        )

    def resume(self, checkpoint: EpochCheckpoint | None) -> list[Row]:
        """Give all workers the chief's state; return the rows of done epochs.

        Args:
            checkpoint: The chief's; None on the others, or for no checkpoint.
        """
        rows: list[Row] = []
        if checkpoint is not None:
            checkpoint.restore(self.model)
            rows = checkpoint.rows
        rows = json.loads(
            cluster.text_from_chief(self.strategy, json.dumps(rows))
        )
        optimizer = self.model.optimizer.variables
        variables = [*self.model.variables, *optimizer]
        cluster.state_from_chief(self.strategy, variables)
        return rows

    def run(
        self,
        x: Any,
        rows: list[Row],
        epochs: int,
        callbacks: list[keras.callbacks.Callback],
        verbose: int = 0,
    ) -> keras.callbacks.History:
        """Train from the epoch after `rows` on; see `multi_worker.fit`."""
        model = self.model
        model.stop_training = False
        calls = keras.callbacks.CallbackList(
            callbacks,
            add_history=True,
            add_progbar=verbose != 0,
            verbose=verbose,
            epochs=epochs,
            steps=self.steps,
            model=model,
        )
        calls.on_train_begin()
        _begin_history(model.history, rows)
        iterators = self._iterators(x, first=len(rows))
        logs: dict[str, float] = {}
        for epoch in range(len(rows), epochs):
            calls.on_epoch_begin(epoch)
            logs = self._epoch(next(iterators), calls)
            calls.on_epoch_end(epoch, logs)
            if model.stop_training:
                break
        # As Keras' fit: with use_ema the averages take the weights' place.
        model.optimizer.finalize_variable_values(model.trainable_variables)
        calls.on_train_end(logs)
        return model.history

    def _iterators(self, x: Any, first: int) -> Iterator[Any]:
        """Yield for each epoch a new iterator, or the one endless stream."""
        share = self.strategy.experimental_distribute_dataset
        if callable(x):
            stream = iter(share(_by_batch(x(first))))
            while True:
                yield stream
        shared = share(_by_batch(x))
        while True:
            yield iter(shared)

    def _epoch(self, iterator: Any, calls: Any) -> dict[str, float]:
        model = self.model
        model.reset_metrics()
        for step in range(self.steps):
            calls.on_train_batch_begin(step)
            self._train(iterator)
            calls.on_train_batch_end(step, {})
        logs = _numbers(model.get_metrics_result())
        cluster.state_from_chief(self.strategy, model.non_trainable_variables)
        if self._validation is not None:
            model.reset_metrics()
            for batch in self._validation:
                self._test(batch)
            results = _numbers(model.get_metrics_result())
            logs |= {f"val_{name}": value for name, value in results.items()}
        return logs


def _by_batch(dataset: Any) -> Any:
    """Let workers take their parts of each batch, not other files."""
    import tensorflow as tf

    options = tf.data.Options()
    options.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return dataset.with_options(options)


def _own_share(strategy: Any, dataset: Any) -> Any:
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return dataset
    jobs = resolver.cluster_spec().as_dict()
    workers = [
        (job, index) for job in sorted(jobs) for index in range(len(jobs[job]))
    ]
    own = workers.index((resolver.task_type, resolver.task_id))
    return dataset.shard(len(workers), own)


def _numbers(results: dict[str, Any]) -> dict[str, float]:
    return {name: float(value) for name, value in results.items()}


def _begin_history(history: keras.callbacks.History, rows: list[Row]) -> None:
    for row in rows:
        history.epoch.append(int(row["epoch"]) - 1)
        for name, value in row.items():
            if name not in _NO_METRIC:
                history.history.setdefault(name, []).append(value)
