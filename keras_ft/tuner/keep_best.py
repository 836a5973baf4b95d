"""Keeps the best student of a trial, and hands it to keras-tuner."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.tuner.trial_folder import TrialFolder


class KeepBest(keras.callbacks.Callback):
    """Saves the student alone after each epoch that is the best so far.

    Args:
        folder: Where to.
        student: What to save; the trained model holds a paraphraser and a
            translator as well.

    Example:

    >>> model.fit(..., callbacks=[KeepBest(folder, student)])
    """

    def __init__(self, folder: TrialFolder, student: keras.Model) -> None:
        super().__init__()
        self.folder = folder
        self.student = student

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        row = {name: float(value) for name, value in (logs or {}).items()}
        self.folder.save_if_best(self.student, row)


def is_tuners_checkpoint(callback: Any) -> bool:
    """Whether it is what `get_best_models` relies on."""
    return type(callback).__name__ == "SaveBestEpoch"


def hand_over(
    callbacks: Sequence[Any],
    student: keras.Model,
    folder: TrialFolder,
    epochs: int,
) -> None:
    """Lets keras-tuner's checkpoint see the best epoch, and it alone.

    Attached to the training itself it would save the paraphraser and the
    translator too, and forget after a kill which epoch was the best.
    """
    student.load_weights(folder.best_weights(epochs))
    best = folder.best(epochs)
    for callback in filter(is_tuners_checkpoint, callbacks):
        callback.set_model(student)
        callback.on_epoch_end(best - 1, folder.rows(epochs)[best - 1])


def history_of(folder: TrialFolder, epochs: int) -> keras.callbacks.History:
    """A trial's rows as `fit` would have returned them."""
    history = keras.callbacks.History()
    rows = folder.rows(epochs)
    names = [name for name in rows[0] if name not in ("epoch", "seconds")]
    history.history = {name: [row[name] for row in rows] for name in names}
    return history
