"""Which machines train together, read from TF_CONFIG."""

import json
import os
from typing import Any

from keras_ft.errors import InputError

_EXPECTED = (
    'JSON such as {"cluster": {"worker": ["host0:2222", "host1:2222"]}, '
    '"task": {"type": "worker", "index": 0}}'
)
_FIX = (
    "Set it on every machine, with the same cluster and an index of its own; "
    "examples/launch_workers.py does it for one machine."
)


def strategy() -> Any:
    """The `MultiWorkerMirroredStrategy` of the cluster in `TF_CONFIG`.

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
    """Whether this process is the one that writes files.

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
    """Refuses a `TF_CONFIG` that TensorFlow would misread or hang on."""
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
