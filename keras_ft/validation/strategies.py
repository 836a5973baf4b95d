"""Refuse what a `tf.distribute` strategy cannot run, before the first step.

Keras 3 runs into most of this too, but within a step and in other words.
Without a strategy, and on other backends, next to nothing is looked at.
"""

import contextlib
import inspect
import math
import re
from collections.abc import Iterable
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras

from keras_ft.errors import InputError

# Classes of `tf.distribute`; others are not supported at all.
_REPLICATING = ("MirroredStrategy", "MultiWorkerMirroredStrategy")
_SUPPORTED = (*_REPLICATING, "OneDeviceStrategy")
_KNOWN = (*_SUPPORTED, "ParameterServerStrategy", "TPUStrategy")

_ONE_SCOPE = (
    "Make all models, the one that trains them and the optimizer within one "
    "`with strategy.scope():`."
)
_KERAS_BATCH_SIZE = 32  # Its default for arrays.
# How Keras fails to average the shares of a first batch when they differ.
_UNEQUAL_SHARES = re.compile(
    r"operation AddN .*Input 0: \[(\d+).*input 1: \[(\d+)", re.S
)


def current() -> Any:
    """Return the strategy whose scope this is called in; None without one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    inside = tf.distribute.has_strategy()
    return tf.distribute.get_strategy() if inside else None


# When a model is made.


def check_construction(
    model: keras.Model, parts: Iterable[tuple[str, keras.layers.Layer]]
) -> None:
    """Refuse a model whose parts were made in another scope than itself.

    Args:
        model: The model under construction, everything built.
        parts: What the user made and handed in, each with the argument's
            name.

    Raises:
        InputError: Names the part; or the strategy is not supported.
    """
    if keras.backend.backend() != "tensorflow":
        return
    _check_no_layout()
    strategy = current()
    if strategy is None:
        _check_not_replicated(model, parts)
        return
    check_supported(strategy)
    for argument, part in parts:
        if not _made_in(strategy, part.variables):
            raise InputError(
                argument,
                f"'{part.name}', made outside of the scope of the "
                f"{_name(strategy)}",
                "one made within the scope, which puts its weights on every "
                "replica",
                "Build or load it within `with strategy.scope():`, as the "
                "model that uses it.",
            )


def check_supported(strategy: Any) -> None:
    """Refuse strategies other than those this package is tested under."""
    if _name(strategy) not in _SUPPORTED:
        raise InputError(
            "strategy",
            f"{_name(strategy)}, which is not supported",
            "MirroredStrategy, OneDeviceStrategy or "
            "MultiWorkerMirroredStrategy",
            "Use tf.distribute.MirroredStrategy on one machine and "
            "keras_ft.multi_worker on several.",
        )


def _check_not_replicated(
    model: keras.Model, parts: Iterable[tuple[str, keras.layers.Layer]]
) -> None:
    """Refuse to train replicated parts; a frozen one is only read."""
    import tensorflow as tf

    trained = {
        id(variable)
        for variable in model.trainable_variables
        if isinstance(variable.value, tf.distribute.DistributedValues)
    }
    for argument, part in parts if trained else ():
        if not trained.isdisjoint(map(id, part.variables)):
            raise InputError(
                argument,
                f"'{part.name}', made within a strategy's scope, for a model "
                "made outside of it",
                "both within the scope, or both outside",
                _ONE_SCOPE,
            )


def _check_no_layout() -> None:
    """Refuse a `keras.distribution`, which Keras ignores on TensorFlow."""
    layout = keras.distribution.distribution()
    if layout is not None:
        raise InputError(
            "distribution",
            f"a keras.distribution.{type(layout).__name__} on the TensorFlow "
            "backend, where Keras ignores it",
            "a tf.distribute strategy, or the JAX backend",
            "Call keras.distribution.set_distribution(None) and use `with "
            "strategy.scope():` of a tf.distribute.MirroredStrategy, or set "
            "KERAS_BACKEND=jax.",
        )


# When a step is about to run.


def check_training(model: keras.Model, strategy: Any) -> None:
    """Refuse what no training step can run under the model's strategy.

    Args:
        model: A compiled model.
        strategy: What was `current()` when it was made.
    """
    check_inference(model, strategy)
    if keras.backend.backend() != "tensorflow":
        return
    optimizer = model.optimizer
    while optimizer is not None:
        if not _made_in(model.distribute_strategy, optimizer.variables):
            raise InputError(
                "optimizer",
                f"{type(optimizer).__name__}, made in another scope than the "
                "model",
                "an optimizer whose state is created where the weights are",
                f"{_ONE_SCOPE} One given by name is made where compile() is "
                "called.",
            )
        _check_every_step_updates(model, optimizer, strategy)
        # A LossScaleOptimizer wraps the one that has the settings.
        optimizer = getattr(optimizer, "inner_optimizer", None)


def check_inference(model: keras.Model, strategy: Any) -> None:
    """Refuse what not even a test step can run; as `check_training`."""
    if keras.backend.backend() != "tensorflow":
        return
    _check_no_layout()
    here = current()
    if here is not None and here is not strategy:
        raise InputError(
            "strategy",
            f"a call within the scope of a {_name(here)}, for "
            f"'{model.name}', which was made outside of it",
            "a model made within the scope",
            f"{_ONE_SCOPE} fit() itself may then be called anywhere.",
        )
    if _replicas(strategy) > 1 and model.jit_compile:
        # XLA looks for every variable on the first replica.
        raise InputError(
            "jit_compile",
            f"True, under {_replicas(strategy)} replicas",
            "False: Keras cannot run a step compiled by XLA on several "
            "replicas",
            "Use compile(..., jit_compile=False).",
        )


def _check_every_step_updates(
    model: keras.Model, optimizer: Any, strategy: Any
) -> None:
    """Refuse updates in some steps only: a condition within a step.

    Even a `MirroredStrategy` of one device cannot synchronize in there.
    """
    if strategy is None or model.run_eagerly:
        return
    if _name(strategy) not in _REPLICATING:
        return
    if getattr(optimizer, "gradient_accumulation_steps", None):
        setting = "gradient_accumulation_steps"
        fix = "Leave it out and use larger batches: the replicas share them."
    elif optimizer.use_ema and optimizer.ema_overwrite_frequency:
        setting = "ema_overwrite_frequency"
        fix = (
            "Leave it out: fit() then puts the averages in place of the "
            "weights at its end."
        )
    else:
        return
    raise InputError(
        setting,
        f"{getattr(optimizer, setting)}, under a {_name(strategy)}",
        "None: Keras cannot update weights in some of its steps only",
        f"{fix} compile(..., run_eagerly=True) is possible too, and slow.",
    )


# When Keras' own loop is called.


def check_fit(
    model: keras.Model, strategy: Any, *args: Any, **kwargs: Any
) -> None:
    """Refuse what Keras' own `fit` cannot run, or trains to other weights.

    Args:
        model: A compiled model that passed `check_training`.
        strategy: What was `current()` when it was made.
        *args: What `fit` is called with.
        **kwargs: The same.
    """
    if strategy is None:
        return
    _check_one_machine(strategy, "fit")
    _check_steps_per_execution(model, strategy)
    replicas = _replicas(strategy)
    if replicas > 1:
        signature = inspect.signature(keras.Model.fit)
        given = signature.bind(model, *args, **kwargs).arguments
        check_training_batches(given, replicas)
        _check_validation_batches(given, replicas)


def check_evaluate(
    model: keras.Model, strategy: Any, *args: Any, **kwargs: Any
) -> None:
    """Refuse what Keras' own `evaluate` cannot run; as `check_fit`."""
    # Keras' `fit` says so when it calls `evaluate`: all is checked then.
    if strategy is None or "_use_cached_eval_dataset" in kwargs:
        return
    _check_one_machine(strategy, "evaluate")
    replicas = _replicas(strategy)
    if replicas > 1:
        signature = inspect.signature(keras.Model.evaluate)
        given = signature.bind(model, *args, **kwargs).arguments
        batches = _batch_sizes(given.get("x"), given.get("batch_size"))
        _check_first_batch("x", batches, replicas)


@contextlib.contextmanager
def explained_errors(strategy: Any) -> Iterator[None]:
    """Explain how Keras fails at a stream that could not be looked at."""
    try:
        yield
    except Exception as error:
        replicas = _replicas(strategy)
        found = _UNEQUAL_SHARES.search(str(error))
        if replicas == 1 or not found:
            raise
        shares = " and ".join(found.groups())
        raise _unequal("x", f"shared as {shares}", replicas) from None


def _check_one_machine(strategy: Any, method: str) -> None:
    if _name(strategy) == "MultiWorkerMirroredStrategy":
        raise InputError(
            "strategy",
            f"{method}() under a MultiWorkerMirroredStrategy",
            "keras_ft.multi_worker.fit: Keras' own loops fail on several "
            "machines",
            "Use keras_ft.multi_worker.fit(model, dataset, ...), which also "
            "takes validation_data.",
        )


def _check_steps_per_execution(model: keras.Model, strategy: Any) -> None:
    """Refuse several training steps in one call, on CPUs."""
    count = _replicas(strategy)
    steps = model.steps_per_execution
    # Keras' "auto" is a number only once training runs.
    if count == 1 or steps == 1 or model.run_eagerly:
        return
    if any("CPU" in device for device in strategy.extended.worker_devices):
        raise InputError(
            "steps_per_execution",
            f"{steps}, under {count} replicas on CPUs",
            "1: there Keras cannot run several training steps in one call",
            "Use compile(..., steps_per_execution=1).",
        )


# Whether all replicas get the same number of images. Keras averages over the
# images of each replica and then over replicas. With unequal shares that is
# another mean: the weights go elsewhere than on one device. Metrics weigh each
# replica by its images and stay exact.


def check_training_batches(given: Mapping[str, Any], replicas: int) -> None:
    """Refuse training batches that the replicas cannot share equally.

    Args:
        given: Arguments of `fit` by name.
        replicas: Replicas in sync.
    """
    x, size = given.get("x"), given.get("batch_size")
    split = 0.0
    if given.get("validation_data") is None:
        split = given.get("validation_split") or 0.0
    for batch in _batch_sizes(x, size, (0.0, 1.0 - split)):
        _check_batch("x", batch, replicas)


def _check_validation_batches(given: Mapping[str, Any], replicas: int) -> None:
    """Refuse an unequal first batch: Keras fails at it, not at later ones."""
    size = given.get("validation_batch_size") or given.get("batch_size")
    data, split = given.get("validation_data"), given.get("validation_split")
    if data is not None:
        x = data[0] if isinstance(data, (tuple, list)) else data
        _check_first_batch("validation_data", _batch_sizes(x, size), replicas)
    elif split:
        batches = _batch_sizes(given.get("x"), size, (1.0 - split, 1.0))
        _check_first_batch("validation_split", batches, replicas)


def _check_first_batch(
    argument: str, batches: list[int | None], replicas: int
) -> None:
    # A stream cannot be looked at: `explained_errors` waits for it.
    if batches[0] is not None:
        _check_batch(argument, batches[0], replicas)


def _check_batch(argument: str, size: int | None, replicas: int) -> None:
    if size is None or size % replicas:
        received = "whose size is not known" if size is None else f"of {size}"
        raise _unequal(argument, received, replicas)


def _unequal(argument: str, batch: str, replicas: int) -> InputError:
    return InputError(
        argument,
        f"a batch {batch}, for {replicas} replicas",
        f"batches known to divide by {replicas}",
        f"Use a batch size that divides by {replicas}, and leave out a "
        "smaller last batch: dataset.batch(n, drop_remainder=True), "
        "keras_ft.data.load(name, drop_remainder=True), or x[:n] of an array.",
    )


def _batch_sizes(
    x: Any, batch_size: int | None, part: tuple[float, float] = (0.0, 1.0)
) -> list[int | None]:
    """Return the sizes of the first and last batch, None where unknown."""
    import tensorflow as tf

    if isinstance(x, tf.distribute.DistributedDataset):
        return [_whole_batch(x)]
    if hasattr(x, "element_spec"):
        return [_length(x.element_spec)]
    if isinstance(x, keras.utils.PyDataset):
        last = (x.num_batches or 1) - 1
        return [_length(x[index]) for index in sorted({0, last})]
    images = _length(x)
    if images is None:
        return [None]
    # As Keras cuts validation_split off.
    start, stop = (math.floor(images * fraction) for fraction in part)
    size = batch_size or _KERAS_BATCH_SIZE
    return [min(size, stop - start), (stop - start) % size or size]


def _length(batch: Any) -> int | None:
    leaf = keras.tree.flatten(batch)[0]
    shape = getattr(leaf, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        return None
    return shape[0]


def _whole_batch(dataset: Any) -> int | None:
    """Return the size of a batch that is already divided into equal shares."""
    import tensorflow as tf

    parts = tf.nest.flatten(dataset.element_spec)
    shares = tf.nest.flatten(dataset.element_spec, expand_composites=True)
    sizes = [_length(share) for share in shares]
    if sizes[0] is None or len(set(sizes)) > 1:
        return None
    return sizes[0] * len(shares) // len(parts)


def _replicas(strategy: Any) -> int:
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def _name(strategy: Any) -> str:
    """Return the class' name in `tf.distribute`, where it has one."""
    import tensorflow as tf

    for known in _KNOWN:
        if isinstance(strategy, getattr(tf.distribute, known)):
            return known
    return type(strategy).__name__


def _made_in(strategy: Any, variables: list[Any]) -> bool:
    made = strategy.extended.variable_created_in_scope
    return all(made(variable.value) for variable in variables)
