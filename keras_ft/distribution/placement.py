"""Where a run trains: on one device, on this machine's, on several machines."""

import contextlib
import json
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft.distribution import cluster
from keras_ft.distribution import exchange
from keras_ft.distribution import mirrored
from keras_ft.distribution import worker_lost_error
from keras_ft.errors import InputError

STRATEGIES = ("none", "mirrored", "multi_worker")


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

    Example:

    >>> placement = Placement("mirrored")
    >>> distil("runs/first", settings, placement=placement)
    """

    def __init__(self, name: str = "none") -> None:
        if name not in STRATEGIES:
            raise InputError(
                "strategy",
                repr(name),
                f"one of {', '.join(STRATEGIES)}",
                'Use "none" for one device.',
            )
        self.name = name
        self.strategy = _MAKERS[name]()
        self.is_chief = True
        if name == "multi_worker":
            self.is_chief = cluster.is_chief(self.strategy)

    def scope(self) -> Any:
        """Where networks are made that train."""
        if self.strategy is None:
            return contextlib.nullcontext()
        return self.strategy.scope()

    def explained(self, folder: artifacts.PathLike) -> Any:
        """In it, a run that lost a worker stops with a `WorkerLostError`.

        Networks are made and results agreed on together, so that a worker can
        be missed between the phases as well as in them.

        Args:
            folder: The run's folder, for the message.
        """
        if self.name != "multi_worker":
            return contextlib.nullcontext()
        return worker_lost_error.explained(
            "Start all workers again: they continue after the last complete "
            f"epoch in {folder}."
        )

    def agree(self, content: Any) -> Any:
        """The chief's content (JSON values), on every worker.

        Every worker must make this call; nobody returns before all did.
        """
        if self.name != "multi_worker":
            return content
        told = exchange.text_from_chief(self.strategy, json.dumps(content))
        return json.loads(told)

    @contextlib.contextmanager
    def whole_batch_statistics(self, model: keras.Model) -> Any:
        """Batch normalization over whole batches while the model trains.

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


_MAKERS: dict[str, Any] = {
    "none": lambda: None,
    "mirrored": mirrored.strategy,
    "multi_worker": cluster.strategy,
}


def _normalizations(model: Any) -> list[keras.layers.BatchNormalization]:
    found = []
    for layer in getattr(model, "layers", ()):
        if isinstance(layer, keras.layers.BatchNormalization):
            found.append(layer)
        found += _normalizations(layer)
    return found
