"""Which strategy there is."""

from typing import Any

import keras

from keras_ft.errors import InputError

# Classes of `tf.distribute`; others are not supported at all.
REPLICATING = ("MirroredStrategy", "MultiWorkerMirroredStrategy")
SUPPORTED = (*REPLICATING, "OneDeviceStrategy")
KNOWN = (*SUPPORTED, "ParameterServerStrategy", "TPUStrategy")


def current() -> Any:
    """The strategy within whose scope this is called; None without one."""
    if keras.backend.backend() != "tensorflow":
        return None
    import tensorflow as tf

    inside = tf.distribute.has_strategy()
    return tf.distribute.get_strategy() if inside else None


def replicas(strategy: Any) -> int:
    """Replicas in sync, 1 without a strategy."""
    return 1 if strategy is None else int(strategy.num_replicas_in_sync)


def name(strategy: Any) -> str:
    """The class' name in `tf.distribute`, where it has one."""
    import tensorflow as tf

    for known in KNOWN:
        if isinstance(strategy, getattr(tf.distribute, known)):
            return known
    return type(strategy).__name__


def uses_cpus(strategy: Any) -> bool:
    """Whether replicas are CPUs."""
    return any("CPU" in device for device in strategy.extended.worker_devices)


def check_supported(strategy: Any) -> None:
    """Refuses strategies other than those this package is tested under."""
    if name(strategy) in SUPPORTED:
        return
    raise InputError(
        "strategy",
        f"{name(strategy)}, which is not supported",
        "MirroredStrategy, OneDeviceStrategy or MultiWorkerMirroredStrategy",
        "Use tf.distribute.MirroredStrategy on one machine and "
        "keras_ft.multi_worker on several.",
    )


def check_one_machine(strategy: Any, method: str) -> None:
    """Refuses Keras' own loops on several machines."""
    if name(strategy) != "MultiWorkerMirroredStrategy":
        return
    raise InputError(
        "strategy",
        f"{method}() under a MultiWorkerMirroredStrategy",
        "keras_ft.multi_worker.fit: Keras' own loops fail on several machines",
        "Use keras_ft.multi_worker.fit(model, dataset, ...), which also takes "
        "validation_data.",
    )


def check_no_layout() -> None:
    """Refuses a `keras.distribution`, which Keras ignores on TensorFlow."""
    layout = keras.distribution.distribution()
    if layout is None:
        return
    raise InputError(
        "distribution",
        f"a keras.distribution.{type(layout).__name__} on the TensorFlow "
        "backend, where Keras ignores it",
        "a tf.distribute strategy, or the JAX backend",
        "Call keras.distribution.set_distribution(None) and use `with "
        "strategy.scope():` of a tf.distribute.MirroredStrategy, or set "
        "KERAS_BACKEND=jax.",
    )
