"""Refuse what a search cannot use, before anything is trained."""

from collections.abc import Mapping
from collections.abc import Sequence
from typing import Any

import keras
import keras_tuner
import numpy as np

from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.validation.models import check_model

OBJECTIVES = {"val_accuracy": "max", "val_task_loss": "min"}
_SOME = 16  # images that tell two splits apart
# Decided by the recipe, by the data and by one device.
_OVERRIDES = ("optimizer", "loss", "metrics", "distribution_strategy")


class SearchError(InputError, keras_tuner.errors.FatalError):
    """An `InputError` that keras-tuner does not take for a failed trial.

    keras-tuner catches what a trial raises and goes on with the next one,
    unless it is a `FatalError`. What would fail in every trial is one.

    Example:

    >>> import keras_tuner
    >>> tuner = keras_tuner.RandomSearch(
    ...     hypermodel, objective="val_loss", directory="search")
    >>> tuner.search()
    Traceback (most recent call last):
    keras_ft.tuner.SearchError: Invalid `objective`. ...
    """

    @classmethod
    def of(cls, error: InputError) -> "SearchError":
        """Return the same message as an error of the whole search."""
        return cls(error.argument, error.received, error.expected, error.fix)


def check_arguments(teacher: Any, data: ImageData, seed: int) -> None:
    """Refuse what a hypermodel cannot use.

    Raises:
        InputError: The teacher has no graph, the seed is below 0, or the
            search would choose by the test images.
    """
    check_model("teacher", teacher)
    if seed < 0:
        raise InputError("seed", seed, "0 or more", "Use 0.")
    mine, known = (
        data.examples(split, min(_SOME, data.sizes[split]))[0]
        for split in ("validation", "test")
    )
    if np.array_equal(mine, known):
        raise InputError(
            "data",
            "validation images that are the test images",
            "images that are not looked at otherwise",
            "Use data.load(..., validation_fraction=0.1): a search that looks "
            "at the test images has none left.",
        )


def tuner_of(callbacks: Sequence[Any]) -> Any:
    """Return the tuner that runs the trial, or None outside of a search."""
    for callback in callbacks:
        if type(callback).__name__ == "TunerCallback":
            return callback.tuner
    return None


def check_metrics(metrics: Sequence[Any]) -> None:
    """Refuse metrics that cannot be told apart, or copied for each trial.

    Raises:
        InputError: One is no `keras.metrics.Metric`, or two have one name.
    """
    names = [getattr(metric, "name", None) for metric in metrics]
    known = all(isinstance(metric, keras.metrics.Metric) for metric in metrics)
    if not known or len({*names, "accuracy"}) <= len(names):
        raise InputError(
            "metrics",
            repr(list(metrics)),
            "keras.metrics.Metric objects, each with a name of its own",
            'Use for example [keras.metrics.F1Score("macro", name="f1")].',
        )


def check_tuner(tuner: Any, metrics: Sequence[Any] = ()) -> Any:
    """Refuse a tuner whose search would mislead; return its objective.

    Args:
        tuner: The tuner.
        metrics: What the hypermodel watches beside the accuracy.

    Raises:
        SearchError: The objective depends on beta, or is something else than
            `val_accuracy`, `val_task_loss` or one of the metrics on the
            validation images; or the tuner overrides what the hypermodel
            decides.
    """
    for name in _OVERRIDES:
        if getattr(tuner, name, None) is not None:
            raise SearchError(
                name,
                getattr(tuner, name),
                "None",
                "Leave it out: FactorTransferHyperModel takes it from its "
                "recipe and its own arguments.",
            )
    objective = tuner.oracle.objective
    name, direction = objective.name, objective.direction
    own = [f"val_{metric.name}" for metric in metrics]
    if name not in own and OBJECTIVES.get(name) != direction:
        raise SearchError(
            "objective",
            f"{name} ({direction})",
            " or ".join(["val_accuracy (max)", "val_task_loss (min)", *own]),
            "val_loss contains beta * factor term, so that a small beta wins "
            "by being small. Use objective='val_accuracy' or "
            "keras_tuner.Objective('val_task_loss', 'min').",
        )
    return objective


def check_call(arguments: Sequence[Any], more: Mapping[str, Any]) -> None:
    """Refuse what `search` was given beside epochs and callbacks."""
    if arguments or more:
        raise SearchError(
            "search",
            ", ".join(["data"] * bool(arguments) + sorted(more)),
            "epochs and callbacks only",
            "The hypermodel has its data; pass others to its constructor.",
        )


def check_epochs(epochs: int, most: int) -> None:
    """Refuse more epochs than the schedule has."""
    if not 1 <= epochs <= most:
        raise SearchError(
            "epochs",
            epochs,
            f"1 to {most}, the epochs of the recipe's schedule",
            "Make the recipe longer: recipe.short(1, epochs).",
        )
