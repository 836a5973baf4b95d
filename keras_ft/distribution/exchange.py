"""What the chief tells the others, over the strategy's own collectives."""

import functools
from typing import Any

import numpy as np


def text_from_chief(strategy: Any, text: str) -> str:
    """The chief's text, on every worker; also waits for all of them.

    Args:
        strategy: Every worker must make this call.
        text: Only the chief's counts.
    """
    content = text.encode()
    own = np.array([len(content)], np.int32)
    size = int(np.frombuffer(_from_chief(strategy, own.tobytes()), np.int32)[0])
    return _from_chief(strategy, content[:size].ljust(size)).decode()


def state_from_chief(strategy: Any, variables: list[Any]) -> None:
    """Gives every replica the values of the chief's first replica, bit by bit.

    Replicas drift apart where each one keeps statistics of its own batches,
    as batch normalization does. One replica is the model; this makes it so.

    Args:
        strategy: Every worker must make this call.
        variables: Keras variables, the same ones on every worker.
    """
    arrays = [variable.value.numpy() for variable in variables]
    content = _from_chief(strategy, b"".join(a.tobytes() for a in arrays))
    start = 0
    for variable, array in zip(variables, arrays, strict=True):
        part = content[start : start + array.nbytes]
        start += array.nbytes
        variable.assign(np.frombuffer(part, array.dtype).reshape(array.shape))


def _from_chief(strategy: Any, content: bytes) -> bytes:
    """The chief's bytes; every worker must bring as many of its own."""
    import tensorflow as tf

    # TensorFlow's collectives crash the process on an empty tensor.
    padded = content.ljust(max(-(-len(content) // 4), 1) * 4, b"\0")
    shared = _exchange(strategy)(tf.constant(np.frombuffer(padded, np.int32)))
    words = strategy.experimental_local_results(shared)[0]
    return words.numpy().tobytes()[: len(content)]


@functools.cache
def _exchange(strategy: Any) -> Any:
    """A sum to which all replicas but the chief's first one add zeros.

    As integers, because that is exact and collectives know only a few types.
    """
    import tensorflow as tf

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int32)])
    def exchange(words: Any) -> Any:
        def share(words: Any) -> Any:
            context = tf.distribute.get_replica_context()
            first = tf.equal(context.replica_id_in_sync_group, 0)
            part = tf.where(first, words, tf.zeros_like(words))
            return context.all_reduce(tf.distribute.ReduceOp.SUM, part)

        return strategy.run(share, args=(words,))

    return exchange
