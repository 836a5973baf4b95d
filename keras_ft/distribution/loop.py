"""Epochs of training and validation under a multi-worker strategy."""

import json
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft.callbacks import EpochCheckpoint
from keras_ft.callbacks import Row
from keras_ft.distribution import exchange

# Of a checkpoint's row, what is no metric.
_NO_METRIC = ("epoch", "seconds")


class Loop:
    """Runs a model's own `train_step` and `test_step` on all workers.

    Every worker makes the same calls in the same order, because the steps,
    the metrics' results and the exchanges are collective operations.

    Args:
        model: Made in the strategy's scope, compiled and built.
        strategy: A `MultiWorkerMirroredStrategy`.
        steps: Batches per epoch.
        validation_data: Finite `tf.data.Dataset` of whole batches, or None.

    Example:

    >>> loop = Loop(model, strategy, steps=40, validation_data=None)
    >>> rows = loop.resume(EpochCheckpoint("checkpoints"))
    >>> history = loop.run(data.train_from, rows, epochs=20, callbacks=[])
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
        """Give all workers the chief's state, and the rows of done epochs.

        Args:
            checkpoint: The chief's; None on the others, or for no checkpoint.
        """
        if checkpoint is not None:
            checkpoint.restore(self.model)
        rows = checkpoint.rows if checkpoint is not None else []
        told = exchange.text_from_chief(self.strategy, json.dumps(rows))
        optimizer = self.model.optimizer.variables
        variables = [*self.model.variables, *optimizer]
        exchange.state_from_chief(self.strategy, variables)
        rows = json.loads(told)
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
        """One iterator for each epoch: new ones, or one endless stream."""
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
        exchange.state_from_chief(self.strategy, model.non_trainable_variables)
        if self._validation is not None:
            model.reset_metrics()
            for batch in self._validation:
                self._test(batch)
            results = _numbers(model.get_metrics_result())
            logs |= {f"val_{name}": value for name, value in results.items()}
        return logs


def _by_batch(dataset: Any) -> Any:
    """Workers take their parts of each batch, not other files."""
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
