"""What is checked at which call."""

import contextlib
import inspect
import re
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft.validation.strategy_checks import batches
from keras_ft.validation.strategy_checks import scope
from keras_ft.validation.strategy_checks import settings
from keras_ft.validation.strategy_checks import strategy as strategies

# How Keras fails to average the shares of a first batch when they differ.
_UNEQUAL_SHARES = re.compile(
    r"operation AddN .*Input 0: \[(\d+).*input 1: \[(\d+)", re.S
)


def check_training(model: keras.Model, strategy: Any) -> None:
    """Refuses what no training step can run under the model's strategy.

    Args:
        model: A compiled model.
        strategy: What was `current()` when it was constructed.
    """
    check_inference(model, strategy)
    if keras.backend.backend() != "tensorflow":
        return
    optimizer = model.optimizer
    while optimizer is not None:
        scope.check_optimizer(model, optimizer)
        settings.check_every_step_updates(model, optimizer, strategy)
        # A LossScaleOptimizer wraps the one that has the settings.
        optimizer = getattr(optimizer, "inner_optimizer", None)


def check_inference(model: keras.Model, strategy: Any) -> None:
    """Refuses what not even a test step can run; as `check_training`."""
    if keras.backend.backend() != "tensorflow":
        return
    strategies.check_no_layout()
    scope.check_call(model, strategy)
    settings.check_jit(model, strategy)


def check_fit(
    model: keras.Model, strategy: Any, *args: Any, **kwargs: Any
) -> None:
    """Refuses what Keras' own `fit` cannot run, or trains to other weights.

    Args:
        model: A compiled model that passed `check_training`.
        strategy: What was `current()` when it was constructed.
        *args: What `fit` is called with.
        **kwargs: The same.
    """
    if strategy is None:
        return
    strategies.check_one_machine(strategy, "fit")
    settings.check_steps_per_execution(model, strategy)
    replicas = strategies.replicas(strategy)
    if replicas > 1:
        signature = inspect.signature(keras.Model.fit)
        given = signature.bind(model, *args, **kwargs).arguments
        batches.check_training(given, replicas)
        batches.check_validation(given, replicas)


def check_evaluate(
    model: keras.Model, strategy: Any, *args: Any, **kwargs: Any
) -> None:
    """Refuses what Keras' own `evaluate` cannot run; as `check_fit`."""
    # Keras' `fit` says so when it calls `evaluate`: all is checked then.
    if strategy is None or "_use_cached_eval_dataset" in kwargs:
        return
    strategies.check_one_machine(strategy, "evaluate")
    replicas = strategies.replicas(strategy)
    if replicas > 1:
        signature = inspect.signature(keras.Model.evaluate)
        given = signature.bind(model, *args, **kwargs).arguments
        batches.check_evaluation(given, replicas)


@contextlib.contextmanager
def explained_errors(strategy: Any) -> Iterator[None]:
    """Explains how Keras fails at a stream that could not be looked at."""
    try:
        yield
    except Exception as error:
        replicas = strategies.replicas(strategy)
        found = _UNEQUAL_SHARES.search(str(error))
        if replicas == 1 or not found:
            raise
        shares = " and ".join(found.groups())
        raise batches.unequal("x", f"shared as {shares}", replicas) from None
