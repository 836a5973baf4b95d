"""Keras' own callbacks do with a distiller what they do with any model."""

import csv
import importlib.util

import keras
import numpy as np
import pytest

from keras_ft import InputError

pytestmark = pytest.mark.cell("callbacks")
ARGUMENTS = {"batch_size": 8, "shuffle": False, "verbose": 0}
# The high rates throw the student back, so that the best epoch is neither the
# first nor the last; the last ones leave it where it is.
RATES = [0.05, 0.05, 0.05, 9.0, 0.0, 0.0]


class Record(keras.callbacks.Callback):
    """Keeps the student's weights after each epoch."""

    def __init__(self):
        super().__init__()
        self.weights = []

    def on_epoch_end(self, epoch, logs=None):
        self.weights.append(self.model.student.get_weights())


@pytest.fixture
def recorded(build, compiled, batch):
    """Fits with `RATES`; model, weights by epoch, best epoch."""

    def fit(*callbacks, epochs=6):
        optimizer = keras.optimizers.SGD(0.1)
        model, record = compiled(build(), optimizer=optimizer), Record()
        rates = keras.callbacks.LearningRateScheduler(RATES.__getitem__)
        history = model.fit(
            *batch,
            epochs=epochs,
            validation_data=batch,
            callbacks=[rates, record, *callbacks],
            **ARGUMENTS,
        ).history
        best = int(np.argmin(history["val_task_loss"]))
        assert best == 2
        return model, history, record.weights, best

    return fit


def test_checkpoints_hold_the_best_epoch(
    recorded, build, compiled, batch, same, tmp_path
):
    files = tmp_path / "best.keras", tmp_path / "best.weights.h5"
    checkpoints = [
        keras.callbacks.ModelCheckpoint(
            str(file),
            monitor="val_task_loss",
            mode="min",
            save_best_only=True,
            save_weights_only=file.suffix == ".h5",
        )
        for file in files
    ]
    _, history, weights, best = recorded(*checkpoints)
    loaded = keras.models.load_model(files[0])
    same(weights[best], loaded.student.get_weights())
    logs = loaded.evaluate(*batch, batch_size=8, return_dict=True, verbose=0)
    for name, value in logs.items():
        expected = history[f"val_{name}"][best]
        assert value == pytest.approx(expected, rel=1e-6), name
    other = build(seed=9)
    other.load_weights(files[1])
    same(weights[best], other.student.get_weights())


def test_early_stopping_restores_the_best_weights(recorded, same):
    stopping = keras.callbacks.EarlyStopping(
        monitor="val_task_loss",
        mode="min",
        patience=2,
        restore_best_weights=True,
    )
    model, history, weights, best = recorded(stopping)
    assert len(history["loss"]) == best + 3
    same(weights[best], model.student.get_weights())


def test_rates_follow_their_scheduler_and_csv_their_history(
    recorded, tmp_path, same
):
    file = tmp_path / "log.csv"
    model, history, weights, _ = recorded(keras.callbacks.CSVLogger(str(file)))
    assert history["learning_rate"] == pytest.approx(RATES)
    trained = [variable.path for variable in model.student.trainable_weights]
    still = zip(model.student.weights, weights[3], weights[5], strict=True)
    for variable, before, after in still:
        if variable.path in trained:
            np.testing.assert_array_equal(before, after)
    with file.open() as stream:
        rows = list(csv.DictReader(stream))
    assert rows[0].keys() == {"epoch", *history}
    for name, logged in history.items():
        written = [float(row[name]) for row in rows]
        assert written == pytest.approx(logged, rel=1e-6), name


def test_a_plateau_of_the_factor_loss_lowers_the_rate(build, compiled, batch):
    plateau = keras.callbacks.ReduceLROnPlateau(
        monitor="factor_loss", mode="min", factor=0.5, patience=1, min_delta=1e9
    )
    model = compiled(build(), optimizer=keras.optimizers.SGD(0.08))
    history = model.fit(*batch, epochs=4, callbacks=[plateau], **ARGUMENTS)
    expected = [0.08, 0.08, 0.04, 0.02]
    assert history.history["learning_rate"] == pytest.approx(expected)
    assert float(model.optimizer.learning_rate) == pytest.approx(0.01)


def test_lambda_callbacks_see_every_batch_and_every_term(
    build, compiled, batch
):
    seen = []
    watch = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda step, logs: seen.append((step, set(logs)))
    )
    model = compiled(build())
    history = model.fit(*batch, callbacks=[watch], **ARGUMENTS).history
    assert seen == [(step, set(history)) for step in range(3)]


def test_training_ends_at_a_loss_that_is_not_finite(
    build, compiled, batch, values
):
    model = compiled(build())
    head = model.student.get_layer("head")
    # Finite itself; the logits are not.
    head.kernel.assign(np.full(head.kernel.shape, 3e38))
    arguments = {
        **ARGUMENTS,
        "epochs": 5,
        "callbacks": [keras.callbacks.TerminateOnNaN()],
    }
    if keras.backend.backend() == "tensorflow":
        before = values(model.student.get_layer("conv")) + values(head)
        with pytest.raises(InputError, match="Invalid `loss`.*NaN"):
            model.fit(*batch, **arguments)
        after = values(model.student.get_layer("conv")) + values(head)
        assert all(map(np.array_equal, before, after))
    else:
        history = model.fit(*batch, **arguments).history
        assert not np.isfinite(history["loss"]).any()
        assert len(history["loss"]) == 1


def test_an_interrupted_training_continues_to_the_same_weights(
    build, compiled, batch, values, same, tmp_path
):
    def interrupt(epoch, logs):
        if epoch == 2:
            raise KeyboardInterrupt

    def fit(*callbacks):
        model = compiled(build())
        model.fit(*batch, epochs=4, callbacks=list(callbacks), **ARGUMENTS)
        return values(model), values(model.optimizer)

    def backup():
        return keras.callbacks.BackupAndRestore(str(tmp_path / "backup"))

    stop = keras.callbacks.LambdaCallback(on_epoch_begin=interrupt)
    with pytest.raises(KeyboardInterrupt):
        fit(backup(), stop)
    epochs = []
    count = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: epochs.append(epoch)
    )
    continued, whole = fit(backup(), count), fit()
    assert epochs == [2, 3]
    same(continued[0], whole[0])
    same(continued[1], whole[1])


@pytest.mark.skipif(
    importlib.util.find_spec("tensorflow") is None,
    reason="Keras writes TensorBoard's files through TensorFlow",
)
def test_tensorboard_files_hold_every_term(build, compiled, batch, tmp_path):
    events = pytest.importorskip(
        "tensorboard.backend.event_processing.event_accumulator",
        reason="tensorboard is not installed",
    )
    writer = keras.callbacks.TensorBoard(str(tmp_path), write_graph=False)
    model = compiled(build())
    history = model.fit(
        *batch,
        epochs=2,
        validation_data=batch,
        callbacks=[writer],
        **ARGUMENTS,
    ).history
    for folder, prefix in (("train", ""), ("validation", "val_")):
        found = events.EventAccumulator(str(tmp_path / folder)).Reload()
        for name in ("loss", "task_loss", "factor_loss", "regularization_loss"):
            written = [
                float(np.frombuffer(event.tensor_proto.tensor_content, "f4")[0])
                for event in found.Tensors(f"epoch_{name}")
            ]
            assert written == pytest.approx(history[prefix + name], rel=1e-6)
