"""The machines that train together: who they are, and what they tell others.

TensorFlow reads the cluster from `TF_CONFIG`. What the chief knows reaches the
others over the strategy's own collectives, and a worker that is gone ends
them with an error.
"""

import contextlib
import functools
import json
import os
from collections.abc import Iterator
from typing import Any

import numpy as np

from keras_ft.errors import InputError

_EXPECTED = (
    'JSON such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_FIX = (
    "Set it on every machine, with the same cluster and an index of its own; "
    "examples/launch_workers.py does it for one machine."
)
# What TensorFlow's collectives raise when a worker dies, freezes, or leaves.
_LOST = (
    "UnavailableError",
    "AbortedError",
    "CancelledError",
    "DeadlineExceededError",
)
_ABORTED = "Collective ops is aborted"


class WorkerLostError(RuntimeError):
    """Another worker stopped, so that this one could not go on.

    Nothing is lost but the epoch it happened in: start all workers again with
    the same `checkpoint_dir` and they continue at the last complete epoch.

    Example:

    >>> import sys
    >>> with keras_ft.multi_worker.strategy().scope():
    ...     model = keras.models.load_model("student.keras", compile=False)
    ...     model.compile("sgd", loss)
    >>> try:
    ...     history = keras_ft.multi_worker.fit(
    ...         model, data.train_from, steps_per_epoch=data.steps_per_epoch,
    ...         epochs=5, checkpoint_dir="checkpoints")
    ... except keras_ft.multi_worker.WorkerLostError:
    ...     sys.exit(75)  # The launcher starts all workers again.
    """


def strategy() -> Any:
    """Return the `MultiWorkerMirroredStrategy` of the cluster in `TF_CONFIG`.

    Make it before anything else of TensorFlow runs, and build the models in
    its `scope()`. It waits until every worker of the cluster has called it.
    Without `TF_CONFIG` this process is a cluster of one.

    Returns:
        A `tf.distribute.MultiWorkerMirroredStrategy`.

    Raises:
        InputError: `TF_CONFIG` is not what launchers write, or TensorFlow
            has already been used.

    Example:

    >>> strategy = keras_ft.multi_worker.strategy()
    >>> with strategy.scope():
    ...     teacher = keras.models.load_model("teacher.keras", compile=False)
    ...     student = keras.models.load_model("student.keras", compile=False)
    ...     paraphraser = keras_ft.Paraphraser(rate=0.5)
    ...     model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    """
    check_config(os.environ.get("TF_CONFIG", ""))
    import tensorflow as tf

    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except RuntimeError as error:
        if "program startup" not in str(error):
            raise
        raise InputError(
            "strategy",
            "TensorFlow has already run an operation in this process",
            "the strategy before any tensor, dataset or model",
            "Move keras_ft.multi_worker.strategy() to the program's start.",
        ) from error


def is_chief(strategy: Any) -> bool:
    """Return whether this process is the one that writes files.

    Args:
        strategy: What `strategy()` returned.

    Example:

    >>> if keras_ft.multi_worker.is_chief(strategy):
    ...     model.student.save("student.keras")
    """
    resolver = strategy.cluster_resolver
    if resolver is None or not resolver.task_type:
        return True
    chiefs = resolver.cluster_spec().as_dict().get("chief")
    if chiefs:
        return resolver.task_type == "chief"
    return resolver.task_type == "worker" and resolver.task_id == 0


def check_config(text: str) -> None:
    """Refuse a `TF_CONFIG` that TensorFlow would misread or hang on."""
    if not text:
        return
    try:
        config = json.loads(text)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], task["index"]
        hosts = cluster[kind]
        known = isinstance(hosts, list) and len(hosts) > 0
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("TF_CONFIG", text, _EXPECTED, _FIX) from error
    if not known or set(cluster) - {"chief", "worker"}:
        raise InputError(
            "TF_CONFIG",
            f"the jobs {sorted(cluster)}, {kind} at {hosts}",
            "workers, and at most one chief beside them",
            "Parameter servers and evaluators have no part in this training.",
        )
    if not isinstance(index, int) or not 0 <= index < len(hosts):
        raise InputError(
            "TF_CONFIG",
            f"task index {index!r}",
            f"0 to {len(hosts) - 1}, one for each {kind} in the cluster",
            _FIX,
        )


def text_from_chief(strategy: Any, text: str) -> str:
    """Return the chief's text on every worker, after waiting for all.

    Args:
        strategy: Every worker must make this call.
        text: Only the chief's counts.
    """
    content = text.encode()
    own = np.array([len(content)], np.int32)
    size = int(np.frombuffer(_from_chief(strategy, own.tobytes()), np.int32)[0])
    return _from_chief(strategy, content[:size].ljust(size)).decode()


def state_from_chief(strategy: Any, variables: list[Any]) -> None:
    """Give every replica the values of the chief's first replica, bit by bit.

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
    """Return the chief's bytes; every worker must bring as many."""
    import tensorflow as tf

    # TensorFlow's collectives crash the process on an empty tensor.
    padded = content.ljust(max(-(-len(content) // 4), 1) * 4, b"\0")
    shared = _exchange(strategy)(tf.constant(np.frombuffer(padded, np.int32)))
    words = strategy.experimental_local_results(shared)[0]
    return words.numpy().tobytes()[: len(content)]


@functools.cache
def _exchange(strategy: Any) -> Any:
    """Return a sum to which all but the chief's first replica add zeros.

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


@contextlib.contextmanager
def explained_loss(folder: Any) -> Iterator[None]:
    """Turn the collectives' errors into a `WorkerLostError`.

    Args:
        folder: Where the training's checkpoints are; None without any.
    """
    try:
        yield
    except Exception as error:
        # By name, because InternalError & Co. are all OpError.
        if isinstance(error, WorkerLostError):
            raise
        if type(error).__name__ not in _LOST and _ABORTED not in str(error):
            raise
        remedy = (
            "Pass checkpoint_dir to continue instead of beginning anew."
            if folder is None
            else "Start all workers again: they continue after the last "
            f"complete epoch in {folder}."
        )
        raise WorkerLostError(
            "Another worker stopped or cannot be reached: "
            f"{_reason(str(error))}. Its own output says why. {remedy}"
        ) from None


def _reason(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    found = [line for line in lines if _ABORTED in line]
    return (found or lines or ["no reason given"])[0].rstrip(".:")
