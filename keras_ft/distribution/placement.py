"""Say where a run trains: one device, all of this machine, or several."""

import contextlib
import json
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.distribution import cluster
from keras_ft.validation.parameters import OneOf

STRATEGIES = ("none", "mirrored", "multi_worker")
_STRATEGY = OneOf(STRATEGIES, fix="Use 'none' for one device.")


class Placement:
    """The distribution strategy of a run, and this process's part in it.

    On several machines every worker makes the same run with the same
    settings; the chief alone writes the run folder, which all must reach.

    Args:
        name: `"none"`; `"mirrored"`, all GPUs of this machine, or all its
            logical CPUs where there is none; or `"multi_worker"`, the cluster
            in `TF_CONFIG`. Make the latter before TensorFlow is used.

    Raises:
        InputError: There is no such strategy, or `TF_CONFIG` is no cluster.
    """

    def __init__(self, name: str = "none") -> None:
        _STRATEGY.check("strategy", name)
        self.name = name
        self.strategy = _MAKERS[name]()
        self.is_chief = True
        if name == "multi_worker":
            self.is_chief = cluster.is_chief(self.strategy)

    def scope(self) -> Any:
        """Return the scope in which to make the networks that train."""
        if self.strategy is None:
            return contextlib.nullcontext()
        return self.strategy.scope()

    def explained(self, folder: artifacts.PathLike) -> Any:
        """Return a block in which a lost worker is a `WorkerLostError`.

        Networks are made and results agreed on together, so that a worker can
        be missed between the phases as well as in them.

        Args:
            folder: The run's folder, for the message.
        """
        if self.name != "multi_worker":
            return contextlib.nullcontext()
        return cluster.explained_loss(folder)

    def agree(self, content: Any) -> Any:
        """Return the chief's content (JSON values) on every worker.

        Every worker must make this call; nobody returns before all did.
        """
        if self.name != "multi_worker":
            return content
        told = cluster.text_from_chief(self.strategy, json.dumps(content))
        return json.loads(told)

    @contextlib.contextmanager
    def whole_batch_statistics(self, model: keras.Model) -> Any:
        """Normalize over whole batches while the model trains in this block.

        So that the number of devices does not decide on the result. The
        layers are as before afterwards: a file that says `synchronized`
        cannot be loaded on other backends.
        """
        layers = [] if self.strategy is None else _normalizations(model)
        before = [layer.synchronized for layer in layers]
        try:
            for layer in layers:
                layer.synchronized = True
            yield
        finally:
            for layer, was in zip(layers, before, strict=True):
                layer.synchronized = was


def _mirrored_strategy() -> Any:
    """Return a `MirroredStrategy` over all GPUs, else all logical CPUs."""
    import tensorflow as tf

    found = {
        kind: len(tf.config.list_logical_devices(kind))
        for kind in ("GPU", "CPU")
    }
    kind = "GPU" if found["GPU"] else "CPU"
    return tf.distribute.MirroredStrategy(
        [f"{kind}:{index}" for index in range(found[kind])]
    )


_MAKERS: dict[str, Any] = {
    "none": lambda: None,
    "mirrored": _mirrored_strategy,
    "multi_worker": cluster.strategy,
}


def _normalizations(model: Any) -> list[keras.layers.BatchNormalization]:
    found = []
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer)
        found += _normalizations(layer)
    return found
