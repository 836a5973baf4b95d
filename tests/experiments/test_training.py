import os
import pathlib
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.training import compile_model
from keras_ft.experiments.training import read_history
from keras_ft.experiments.training import train
from keras_ft.optimizers import Schedule

ROOT = pathlib.Path(__file__).parents[2]
EPOCHS = 3
SCHEDULE = Schedule(EPOCHS, 8, 0.1)


class TinyData:
    """The part of `data.load`'s result that training uses."""

    steps_per_epoch = 4
    has_unlabelled = False
    class_weights = None

    def __init__(self):
        self.validation = tf.data.Dataset.from_tensors(self._batch(0, 99))

    def _batch(self, epoch, step):
        random = np.random.default_rng((epoch, step))
        images = random.normal(size=(8, 4, 4, 1)).astype("float32")
        return images, random.integers(0, 3, 8).astype("int32")

    def train_from(self, epoch):
        def batches():
            for step in range(epoch * self.steps_per_epoch, 1000):
                yield self._batch(*divmod(step, self.steps_per_epoch))

        signature = (
            tf.TensorSpec((8, 4, 4, 1), tf.float32),
            tf.TensorSpec((8,), tf.int32),
        )
        return tf.data.Dataset.from_generator(
            batches, output_signature=signature
        )


def new_network():
    keras.utils.set_random_seed(7)
    return keras.Sequential(
        [
            keras.Input((4, 4, 1)),
            keras.layers.Conv2D(4, 3),
            keras.layers.BatchNormalization(),
            keras.layers.Flatten(),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(3),
        ]
    )


class KillAfter(TinyData):
    """Kills the process when the first batch of `epoch` is asked for."""

    def __init__(self, epoch):
        self.epoch = epoch
        super().__init__()

    def _batch(self, epoch, step):
        if epoch == self.epoch and step == 2:
            os.kill(os.getpid(), signal.SIGKILL)
        return super()._batch(epoch, step)


def train_tiny(folder, data):
    network = new_network()
    return network, train(folder, "ft", network, data, SCHEDULE)


def without_seconds(rows):
    return [
        {name: value for name, value in row.items() if name != "seconds"}
        for row in rows
    ]


def state_of(network):
    variables = [*network.variables, *network.optimizer.variables]
    metrics = {id(variable) for variable in network.metrics_variables}
    return [
        np.asarray(variable)
        for variable in variables
        if id(variable) not in metrics
    ]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    return train_tiny(tmp_path_factory.mktemp("whole"), TinyData())


@pytest.mark.parametrize(
    "killed_in_epoch", [1, pytest.param(2, marks=pytest.mark.long)]
)
def test_a_killed_training_continues_bit_for_bit(
    tmp_path, uninterrupted, killed_in_epoch
):
    killed = subprocess.run(
        [sys.executable, __file__, tmp_path, str(killed_in_epoch)],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert killed.returncode == -signal.SIGKILL
    network, rows = train_tiny(tmp_path, TinyData())
    expected, expected_rows = uninterrupted
    for received, wanted in zip(
        state_of(network), state_of(expected), strict=True
    ):
        np.testing.assert_array_equal(received, wanted)
    assert without_seconds(rows) == without_seconds(expected_rows)


def test_history_has_one_row_per_epoch(tmp_path, uninterrupted):
    _, rows = uninterrupted
    assert [row["epoch"] for row in rows] == [1, 2, 3]
    assert {"loss", "accuracy", "val_loss", "val_accuracy", "seconds"} <= set(
        rows[0]
    )
    network = new_network()
    returned = train(tmp_path, "ft", network, TinyData(), SCHEDULE, epochs=2)
    assert [row["epoch"] for row in returned] == [1, 2]
    assert read_history(tmp_path, "ft") == returned
    assert read_history(tmp_path, "paraphrase") == []
    assert list((tmp_path / "tensorboard/ft/train").iterdir())


def test_a_complete_training_is_not_trained_further(tmp_path):
    first, rows = train_tiny(tmp_path, TinyData())
    again, rows_again = train_tiny(tmp_path, TinyData())
    assert rows == rows_again
    for mine, theirs in zip(
        again.get_weights(), first.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(mine, theirs)


def test_one_checkpoint_is_kept_and_then_removed(tmp_path):
    with RunFolder(tmp_path, {"seed": 7}) as run:

        def make():
            train_tiny(tmp_path, TinyData())
            names = sorted(path.name for path in folder.iterdir())
            assert names == [f"epoch-{EPOCHS:04d}.weights.h5", "state.json"]
            return {}

        folder = tmp_path / "checkpoints" / "ft"
        run.once("ft", [], make)
        assert not folder.exists()


@pytest.mark.parametrize("name", ["state.json", "epoch-0003.weights.h5"])
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, name):
    train_tiny(tmp_path, TinyData())
    path = tmp_path / "checkpoints/ft" / name
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match=name):
        train_tiny(tmp_path, TinyData())


def test_epochs_are_told_line_by_line_without_a_terminal(tmp_path):
    lines = []
    for _ in range(2):
        network, data = new_network(), TinyData()
        train(
            tmp_path, "ft", network, data, SCHEDULE, epochs=2, echo=lines.append
        )
    assert len(lines) == 3
    assert lines[0].startswith("ft: epoch 1/2  loss ")
    assert "left" in lines[0] and "val_accuracy" in lines[0]
    assert lines[2] == "ft: 2 of 2 epochs were done before"


def test_a_loss_that_is_not_finite_ends_the_training(tmp_path):
    wild = Schedule(2, 8, 1e30)
    with pytest.raises(InputError, match="learning rate"):
        train(tmp_path, "ft", new_network(), TinyData(), wild)


if __name__ == "__main__":
    # As conftest.py does for the process that continues.
    tf.config.experimental.enable_op_determinism()
    train_tiny(sys.argv[1], KillAfter(int(sys.argv[2])))


def test_the_loss_is_on_what_the_network_returns(network):
    for last in (None, "softmax"):
        model = network(4)
        if last is not None:
            outputs = keras.layers.Activation(last)(model.output)
            model = keras.Model(model.input, outputs)
        compile_model(model, TinyData())
        assert model.loss.from_logits == (last is None)
