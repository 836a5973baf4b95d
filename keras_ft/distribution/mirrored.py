"""The strategy for all devices of one machine."""

from typing import Any


def strategy() -> Any:
    """A `MirroredStrategy` over all GPUs, or all logical CPUs without one.

    Returns:
        A `tf.distribute.MirroredStrategy`.

    Example:

    >>> with strategy().scope():
    ...     model = keras_ft.FactorTransfer(teacher(), student(), paraphraser)
    """
    import tensorflow as tf

    found = {
        kind: len(tf.config.list_logical_devices(kind))
        for kind in ("GPU", "CPU")
    }
    kind = "GPU" if found["GPU"] else "CPU"
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{index}" for index in range(found[kind])]
    )
