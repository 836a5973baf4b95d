"""Fit a network of `keras.applications` to the labels of a run.

As Keras' guide to transfer learning does: first the new head alone, on
features that do not move, then all of it at a low rate. Its batch
normalization keeps the statistics of ImageNet all the time.
"""

from typing import Any

import keras

from keras_ft.experiments import networks
from keras_ft.experiments import students
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.training import summary
from keras_ft.experiments.training import train
from keras_ft.optimizers import Schedule
from keras_ft.zoo.applications import HEAD

# Keras' guide: 1e-3, Adam's own, and 1e-5, "a very low learning rate".
HEAD_RATE, RATE = 1e-3, 1e-5
# Epochs, and steps at least: ten passes over 200 images leave a head untrained.
HEAD_LENGTH, LENGTH = (10, 300), (5, 100)
# Tens of images fill a step of the networks that are fine-tuned.
BATCH_SIZE = 32
HEAD_PHASE, PHASE = "teacher_head", "teacher"


class AdamSchedule(Schedule):
    """A `Schedule` of Adam in place of SGD."""

    def optimizer(self, steps_per_epoch: int) -> Any:
        """Return a new optimizer."""
        return keras.optimizers.Adam(self.rate_at(steps_per_epoch))


def fine_tuned(
    run: RunFolder, settings: Settings, load: Loader, data: Any
) -> tuple[keras.Model, dict[str, Any]]:
    """Train a head, which is a phase of its own, then the whole network.

    Args:
        run: Its folder, entered; a killed training continues after its last
            complete epoch.
        settings: Of the run; its teacher is a name of `keras.applications`.
        load: Of these settings.
        data: What it returned.

    Returns:
        The network, and what a run keeps about its training.
    """
    name, placement = f"{HEAD_PHASE}.keras", run.placement

    def make() -> dict[str, Any]:
        keras.utils.set_random_seed(settings.seed)
        with placement.scope():
            network = load.teacher(data)
            for layer in network.layers:
                layer.trainable = layer.name == HEAD
        epochs = settings.head_epochs or _epochs(load, *HEAD_LENGTH)
        result = _train(run, HEAD_PHASE, network, load, epochs, HEAD_RATE)
        students.save(run, network, name)
        return result

    run.once(HEAD_PHASE, [name], make)
    with placement.scope():
        network = networks.load_recorded(run.path, name)
        for layer in network.layers:
            layer.trainable = not isinstance(
                layer, keras.layers.BatchNormalization
            )
    keras.utils.set_random_seed(settings.seed)
    epochs = settings.fine_tuning_epochs or _epochs(load, *LENGTH)
    return network, _train(run, PHASE, network, load, epochs, RATE)


def _epochs(load: Loader, epochs: int, steps: int) -> int:
    """Return so many epochs, or more if so many steps take them."""
    return max(epochs, -(-steps // load(BATCH_SIZE).steps_per_epoch))


def _train(
    run: RunFolder,
    phase: str,
    network: keras.Model,
    load: Loader,
    epochs: int,
    rate: float,
) -> dict[str, Any]:
    schedule = AdamSchedule(
        epochs=epochs,
        batch_size=BATCH_SIZE,
        learning_rate=rate,
        weight_decay=0.0,
    )
    rows = train(
        run.path,
        phase,
        network,
        load(BATCH_SIZE).labelled_only(),
        schedule,
        echo=run.echo,
        placement=run.placement,
    )
    return summary(network, rows)
