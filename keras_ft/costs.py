"""What computing costs: operations of a network, memory of this process."""

import contextlib
import logging
import sys
from collections.abc import Callable
from collections.abc import Iterator
from collections.abc import Sequence
from typing import Any


def forward_flops(
    function: Callable[[Any], Any], shape: Sequence[int | None]
) -> int:
    """Floating point operations of one forward pass for one example.

    TensorFlow's profiler counts them in the traced graph: a multiply and an
    add are two, so that a convolution of 1 MMAC has 2 MFLOP; normalization
    and additions count, activations do not.

    Args:
        function: Maps one float32 tensor (1, *shape) to tensors.
        shape: Of an example, without the batch.

    Returns:
        The number of operations.

    Example:

    >>> forward_flops(keras_ft.zoo.resnet20(), (32, 32, 3))
    82122602
    """
    import tensorflow as tf

    profiler = tf.compat.v1.profiler
    spec = tf.TensorSpec((1, *shape), tf.float32)
    traced = tf.function(function, autograph=False).get_concrete_function(spec)
    options = profiler.ProfileOptionBuilder(
        profiler.ProfileOptionBuilder.float_operation()
    )
    with _quiet():
        found = profiler.profile(
            traced.graph, cmd="op", options=options.with_empty_output().build()
        )
    return int(found.total_float_ops)


def peak_memory() -> tuple[int, str]:
    """The most memory used so far, in bytes, and whose it is.

    That of the first GPU since `reset_peak_memory` where there is one; else
    the resident memory of this process since it started.

    Example:

    >>> peak_memory()
    (812_646_400, "this process")
    """
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        used = tf.config.experimental.get_memory_info("GPU:0")
        return int(used["peak"]), "the GPU"
    # Imported here: POSIX only.
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    # Bytes on macOS, kilobytes elsewhere.
    return peak * (1 if sys.platform == "darwin" else 1024), "this process"


def reset_peak_memory() -> None:
    """Begins anew to watch for the peak of a GPU; a process cannot."""
    import tensorflow as tf

    if tf.config.list_logical_devices("GPU"):
        tf.config.experimental.reset_memory_stats("GPU:0")


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    # The profiler uses a function that TensorFlow itself warns about.
    logger = logging.getLogger("tensorflow")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
