"""Settings of `compile` and of optimizers that Keras cannot run replicated."""

from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.validation.strategy_checks import strategy as strategies


def check_jit(model: keras.Model, strategy: Any) -> None:
    """Refuses XLA: it looks for every variable on the first replica."""
    count = strategies.replicas(strategy)
    if count > 1 and model.jit_compile:
        raise InputError(
            "jit_compile",
            f"True, under {count} replicas",
            "False: Keras cannot run a step compiled by XLA on several "
            "replicas",
            "Use compile(..., jit_compile=False).",
        )


def check_steps_per_execution(model: keras.Model, strategy: Any) -> None:
    """Refuses several training steps in one call, on CPUs."""
    count = strategies.replicas(strategy)
    steps = model.steps_per_execution
    # Keras' "auto" is a number only once training runs.
    if count == 1 or steps == 1 or model.run_eagerly:
        return
    if strategies.uses_cpus(strategy):
        raise InputError(
            "steps_per_execution",
            f"{steps}, under {count} replicas on CPUs",
            "1: there Keras cannot run several training steps in one call",
            "Use compile(..., steps_per_execution=1).",
        )


def check_every_step_updates(
    model: keras.Model, optimizer: Any, strategy: Any
) -> None:
    """Refuses updates in some steps only: a condition within a step.

    Even a `MirroredStrategy` of one device cannot synchronize in there.
    """
    if strategy is None or model.run_eagerly:
        return
    if strategies.name(strategy) not in strategies.REPLICATING:
        return
    if getattr(optimizer, "gradient_accumulation_steps", None):
        raise _conditional(
            optimizer,
            "gradient_accumulation_steps",
            strategy,
            "Leave it out and use larger batches: the replicas share them.",
        )
    if optimizer.use_ema and optimizer.ema_overwrite_frequency:
        raise _conditional(
            optimizer,
            "ema_overwrite_frequency",
            strategy,
            "Leave it out: fit() then puts the averages in place of the "
            "weights at its end.",
        )


def _conditional(
    optimizer: Any, setting: str, strategy: Any, fix: str
) -> InputError:
    return InputError(
        setting,
        f"{getattr(optimizer, setting)}, under a {strategies.name(strategy)}",
        "None: Keras cannot update weights in some of its steps only",
        f"{fix} compile(..., run_eagerly=True) is possible too, and slow.",
    )
