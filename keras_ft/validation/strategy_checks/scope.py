"""Was everything made in the scope of one strategy?"""

from collections.abc import Mapping
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.validation.strategy_checks import strategy as strategies

ONE_SCOPE = (
    "Make all models, the one that trains them and the optimizer within one "
    "`with strategy.scope():`."
)


def check_construction(
    model: keras.Model, parts: Mapping[str, keras.layers.Layer]
) -> None:
    """Refuses a model whose parts were made in another scope than itself.

    Args:
        model: The model under construction, everything built.
        parts: What the user made and handed in, by argument.

    Raises:
        InputError: Names the part; or the strategy is not supported.
    """
    if keras.backend.backend() != "tensorflow":
        return
    strategies.check_no_layout()
    strategy = strategies.current()
    if strategy is None:
        _check_not_replicated(model, parts)
        return
    strategies.check_supported(strategy)
    for argument, part in parts.items():
        if _made_in(strategy, part.variables):
            continue
        raise InputError(
            argument,
            f"'{part.name}', made outside of the scope of the "
            f"{strategies.name(strategy)}",
            "one made within the scope, which puts its weights on every "
            "replica",
            "Build or load it within `with strategy.scope():`, as the model "
            "that uses it.",
        )


def check_call(model: keras.Model, strategy: Any) -> None:
    """Refuses a call within a scope that the model was not made in.

    Args:
        model: A model.
        strategy: The strategy it was made under, None without one.
    """
    here = strategies.current()
    if here is None or here is strategy:
        return
    raise InputError(
        "strategy",
        f"a call within the scope of a {strategies.name(here)}, for "
        f"'{model.name}', which was made outside of it",
        "a model made within the scope",
        f"{ONE_SCOPE} fit() itself may then be called anywhere.",
    )


def check_optimizer(model: keras.Model, optimizer: Any) -> None:
    """Refuses an optimizer that keeps its state where the weights are not."""
    if _made_in(model.distribute_strategy, optimizer.variables):
        return
    raise InputError(
        "optimizer",
        f"{type(optimizer).__name__}, made in another scope than the model",
        "an optimizer whose state is created where the weights are",
        f"{ONE_SCOPE} One given by name is made where compile() is called.",
    )


def _check_not_replicated(
    model: keras.Model, parts: Mapping[str, keras.layers.Layer]
) -> None:
    """A frozen part may be replicated: it is only read."""
    import tensorflow as tf

    trained = {
        id(variable)
        for variable in model.trainable_variables
        if isinstance(variable.value, tf.distribute.DistributedValues)
    }
    for argument, part in parts.items() if trained else ():
        if not trained.isdisjoint(map(id, part.variables)):
            raise InputError(
                argument,
                f"'{part.name}', made within a strategy's scope, for a model "
                "made outside of it",
                "both within the scope, or both outside",
                ONE_SCOPE,
            )


def _made_in(strategy: Any, variables: list[Any]) -> bool:
    made = strategy.extended.variable_created_in_scope
    return all(made(variable.value) for variable in variables)
