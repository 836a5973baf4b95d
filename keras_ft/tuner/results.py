"""The trials of a search as a table."""

import contextlib
import itertools
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.feature_cache import FeatureCache
from keras_ft.tuner import space
from keras_ft.tuner.trials import Trials

NUMBERS = ("score", "best_epoch", "epochs", "seconds", "status", "message")


def table(
    trials: Trials, cache: FeatureCache, tuner: Any
) -> list[dict[str, Any]]:
    """A row per trial; see `FactorTransferHyperModel.results`."""
    found = tuner.oracle.trials.values()
    values = [space.values_of(trial.hyperparameters) for trial in found]
    # A parameter may exist in some trials only.
    names = list(dict.fromkeys(itertools.chain(*values)))
    rows = [
        dict.fromkeys(names) | _row(trials, cache, tuner, trial)
        for trial in found
    ]

    def key(row: dict[str, Any]) -> list[tuple[bool, Any]]:
        return [(row[n] is not None, row[n]) for n in (*names, "epochs")]

    return sorted(rows, key=key)


def best_student(tuner: Any) -> keras.Model:
    """See `FactorTransferHyperModel.best_student`."""
    best = tuner.oracle.get_best_trials(1)
    if not best or best[0].status != "COMPLETED":
        raise InputError(
            "tuner",
            "a search without a completed trial",
            "at least one",
            "Read the messages of hypermodel.results(tuner); `keras-ft tune` "
            "leaves them in trials.csv.",
        )
    return tuner.load_model(best[0])


def _row(
    trials: Trials, cache: FeatureCache, tuner: Any, trial: Any
) -> dict[str, Any]:
    hp, objective = trial.hyperparameters, tuner.oracle.objective.name
    epochs = hp.values.get(space.EPOCHS, trials.base.distill.epochs)
    row: dict[str, Any] = {**space.values_of(hp), **dict.fromkeys(NUMBERS)}
    row |= {"status": trial.status, "epochs": epochs}
    if trial.status != "COMPLETED":
        row["message"] = _last_line(trial.message)
        # The student of these values may be what failed.
        with contextlib.suppress(Exception):
            folder = trials.folder_of(cache, hp, objective)
            row["message"] = folder.failure or row["message"]
        return row
    row["score"] = float(trial.score)
    folder, *more = (
        trials.folder_of(cache, hp, objective, execution)
        for execution in range(tuner.executions_per_trial)
    )
    if folder.has(epochs):
        row["best_epoch"] = folder.best(epochs)
        row["epochs"] = len(folder.rows(epochs))
        seconds = sum(each.seconds(epochs) for each in (folder, *more))
        row["seconds"] = round(seconds, 1)
    return row


def _last_line(message: str | None) -> str | None:
    lines = (message or "").strip().splitlines()
    return lines[-1] if lines else None
