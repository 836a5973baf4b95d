"""Count the operations of a network."""

import contextlib
import logging
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
