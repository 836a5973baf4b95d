"""How long the steps of a training take."""

import statistics
import time
from typing import Any

import keras


class StepTimer(keras.callbacks.Callback):
    """Times a `fit` of two epochs: the first traces, the second is measured.

    Every loss is waited for, as the callbacks of a run do.

    Attributes:
        start: Seconds that the first epoch took longer than the second.
        step: Seconds of a training step, its batch included; the mean of
            all but the first.
        validation_step: The same of validation, 0 without it.

    Example:

    >>> timer = StepTimer()
    >>> model.fit(train, steps_per_epoch=8, epochs=2, callbacks=[timer])
    >>> timer.step
    0.21
    """

    def __init__(self) -> None:
        super().__init__()
        self.start = self.step = self.validation_step = 0.0
        self._began = self._epoch_began = time.perf_counter()
        self._steps: list[float] = []
        self._validation_steps: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_began = time.perf_counter()
        self._steps, self._validation_steps = [], []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._steps.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        _finish(self._steps, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._validation_steps.append(time.perf_counter())

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        _finish(self._validation_steps, logs)

    def on_train_end(self, logs: Any = None) -> None:
        first = self._epoch_began - self._began
        second = time.perf_counter() - self._epoch_began
        self.start = max(0.0, first - second)
        self.step = _mean(self._steps)
        self.validation_step = _mean(self._validation_steps)


def _mean(steps: list[float]) -> float:
    # The first one opens the stream: many more steps of a run share that.
    later = steps[1:] or steps
    return statistics.fmean(later) if later else 0.0


def _finish(steps: list[float], logs: Any) -> None:
    float((logs or {}).get("loss", 0.0))
    steps[-1] = time.perf_counter() - steps[-1]
