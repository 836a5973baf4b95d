"""Show how far a phase is and how long it will still take."""

import sys
import time
from collections.abc import Callable
from typing import Any

import keras
import tqdm

Echo = Callable[[str], None]


def silent(line: str) -> None:
    """Say nothing: the `echo` of library code."""


class Progress(keras.callbacks.Callback):
    """One bar over all batches of a phase, or one line per epoch.

    The bar is drawn where standard error is a terminal. Elsewhere, in a log
    file for example, every epoch gives one line through `echo`.

    Args:
        phase: Name shown in front.
        epochs: All epochs of the phase.
        steps_per_epoch: Batches in an epoch.
        echo: Takes one line of text; `None` shows nothing at all.
    """

    def __init__(
        self,
        phase: str,
        epochs: int,
        steps_per_epoch: int,
        echo: Echo | None = print,
    ) -> None:
        super().__init__()
        self.phase = phase
        self.epochs = epochs
        self.steps_per_epoch = steps_per_epoch
        self.echo = echo
        self._first: int | None = None
        self._bar: Any = None
        self._started = 0.0

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        if self._first is not None or self.echo is None:
            return
        self._first = epoch
        self._started = time.monotonic()
        if epoch > 0:
            self.echo(done_before(self.phase, epoch, self.epochs))
        if sys.stderr.isatty():
            self._bar = tqdm.tqdm(
                desc=self.phase,
                total=self.epochs * self.steps_per_epoch,
                initial=epoch * self.steps_per_epoch,
                unit="batch",
                dynamic_ncols=True,
            )

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        if self._bar is not None:
            self._bar.update(1)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        numbers = summary(logs or {})
        if self._bar is not None:
            self._bar.set_postfix_str(numbers)
        elif self.echo is not None:
            done = epoch + 1 - (self._first or 0)
            spent = time.monotonic() - self._started
            left = spent / done * (self.epochs - epoch - 1)
            self.echo(
                f"{self.phase}: epoch {epoch + 1}/{self.epochs}  {numbers}  "
                f"{tqdm.tqdm.format_interval(spent)} spent, "
                f"{tqdm.tqdm.format_interval(left)} left"
            )

    def on_train_end(self, logs: Any = None) -> None:
        if self._bar is not None:
            self._bar.close()


def done_before(phase: str, done: int, epochs: int) -> str:
    """Return the line of a phase that continues."""
    return f"{phase}: {done} of {epochs} epochs were done before"


def summary(logs: dict[str, float]) -> str:
    """Return the few numbers of an epoch that fit on a line."""
    shown = ("loss", "val_loss", "val_accuracy")
    parts = []
    for name in shown:
        if name in logs and not (name == "val_loss" and "val_accuracy" in logs):
            parts.append(f"{name} {float(logs[name]):.4g}")
    return ", ".join(parts)
