"""Files and callbacks on two replicas."""

import csv
import functools

import keras
import numpy as np
import pytest
import tensorflow as tf

import keras_ft

cell = functools.partial(pytest.mark.cell, where="MirroredStrategy")
SHORT = {"epochs": 1, "steps_per_epoch": 4}


@pytest.fixture(scope="module")
def trained(train, strategy):
    """Trained on two replicas; tests leave it as it is."""
    return train(strategy.scope, fit=SHORT)


@cell(".keras files")
def test_a_complete_file_crosses_the_scope(
    train, strategy, images, tmp_path, values, gap
):
    path = tmp_path / "model.keras"
    trained = train(strategy.scope, fit=SHORT).model
    trained.save(path)
    alone = keras.models.load_model(path)
    with strategy.scope():
        both = keras.models.load_model(path)
    # The optimizer's momentum has come along: training goes on as one.
    for model in (trained, alone, both):
        assert model.optimizer.iterations == 4
        model.fit(*images[:2], batch_size=68, shuffle=False, verbose=0)
    expected = values(trained.trainable_variables)
    assert gap(expected, values(both.trainable_variables)) == 0
    assert gap(expected, values(alone.trainable_variables)) <= 1e-6


@cell("weights-only files")
def test_weights_cross_the_scope(
    trained, build, strategy, tmp_path, values, gap
):
    path = tmp_path / "model.weights.h5"
    # The optimizer is in the file too, and wants to be built.
    trained.model.save_weights(path)
    alone = build()
    alone.optimizer.build(alone.trainable_variables)
    kernel = alone.student.get_layer("conv").kernel
    kernel.assign(keras.ops.ones_like(kernel))
    alone.load_weights(path)
    expected = values(trained.model.variables)
    assert gap(expected, values(alone.variables)) == 0
    alone.save_weights(path)
    both = build(strategy.scope)
    with strategy.scope():
        both.optimizer.build(both.trainable_variables)
    both.load_weights(path)
    assert gap(expected, values(both.variables)) == 0


def test_the_student_is_a_plain_file(trained, tmp_path, images):
    path = tmp_path / "student.keras"
    trained.model.student.save(path)
    student = keras.models.load_model(path)
    expected = trained.model.predict(images[0], batch_size=68, verbose=0)
    found = student.predict(images[0], batch_size=68, verbose=0)
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Stop(Exception):
    """Stands for a killed process."""


class StopAfter(keras.callbacks.Callback):
    """Raises at the start of an epoch."""

    def __init__(self, epoch):
        super().__init__()
        self.epoch = epoch

    def on_epoch_begin(self, epoch, logs=None):
        if epoch == self.epoch:
            raise Stop


@cell("interrupted and resumed")
def test_a_resumed_training_gives_the_same_bits(
    train, strategy, images, tmp_path, gap
):
    # Whole epochs: `steps_per_epoch` would go on in the middle of the data.
    slices = tf.data.Dataset.from_tensor_slices(images).take(32)
    data = slices.batch(8, drop_remainder=True)

    def run(callbacks):
        arguments = {"epochs": 3, "callbacks": callbacks}
        return train(strategy.scope, data=data, fit=arguments)

    uninterrupted = run([])
    backup = functools.partial(
        keras.callbacks.BackupAndRestore, str(tmp_path / "backup")
    )
    with pytest.raises(Stop):
        run([backup(), StopAfter(1)])
    resumed = run([backup()])
    assert len(resumed.logs["loss"]) == 2
    assert resumed.logs["loss"] == uninterrupted.logs["loss"][1:]
    assert gap(resumed.weights, uninterrupted.weights) == 0


@cell("callbacks")
def test_callbacks(train, strategy, images, tmp_path):
    callbacks = keras.callbacks
    best = tmp_path / "best.weights.h5"
    monitored = {"monitor": "val_task_loss", "mode": "min"}
    saved = callbacks.ModelCheckpoint(
        best, save_weights_only=True, save_best_only=True, **monitored
    )
    slower = callbacks.ReduceLROnPlateau(
        patience=1, factor=0.5, min_delta=100.0, **monitored
    )
    early = callbacks.EarlyStopping(
        patience=3, min_delta=100.0, restore_best_weights=True, **monitored
    )
    table = callbacks.CSVLogger(tmp_path / "log.csv")
    trained = train(
        strategy.scope,
        fit={
            **SHORT,
            "epochs": 5,
            "validation_data": images[:2],
            "validation_batch_size": 68,
            "callbacks": [
                saved,
                slower,
                early,
                table,
                callbacks.TerminateOnNaN(),
            ],
        },
    )
    # Nothing improves by 100: epoch 0 is the best and three more are run.
    assert len(trained.logs["val_task_loss"]) == 4
    rate = trained.model.optimizer.learning_rate
    assert keras.ops.convert_to_numpy(rate) < 0.05
    with open(tmp_path / "log.csv") as file:
        rows = list(csv.DictReader(file))
    found = [float(row["val_task_loss"]) for row in rows]
    assert found == pytest.approx(trained.logs["val_task_loss"])
    trained.model.load_weights(best)
    logs = trained.model.evaluate(
        *images[:2], batch_size=68, return_dict=True, verbose=0
    )
    lowest = min(trained.logs["val_task_loss"])
    assert logs["task_loss"] == pytest.approx(lowest, rel=1e-5)


@cell("beta changed while training")
def test_beta_reaches_every_replica(build, strategy, images):
    model = build(strategy.scope)
    for beta in (0.0, 1000.0):
        model.beta = beta
        logs = model.evaluate(
            *images[:2], batch_size=68, return_dict=True, verbose=0
        )
        parts = (
            logs["task_loss"]
            + beta * logs["factor_loss"]
            + logs["regularization_loss"]
        )
        assert logs["loss"] == pytest.approx(parts, rel=1e-5)


@cell("NaN images", "refused")
def test_broken_images_in_a_stream_change_nothing(
    build, strategy, images, values, gap
):
    broken = images[0].copy()
    # In the share of the second replica only.
    broken[6, 0, 0, 0] = np.nan
    data = tf.data.Dataset.from_tensor_slices((broken, images[1]))
    model = build(strategy.scope)
    before = values(model.trainable_variables)
    with pytest.raises(keras_ft.InputError, match="`x`.*NaN"):
        model.fit(data.batch(8, drop_remainder=True), verbose=0)
    assert gap(before, values(model.trainable_variables)) == 0


@cell("trainable changed between fits", "refused")
def test_a_changed_trainable_flag(build, strategy, images):
    model = build(strategy.scope)
    model.fit(*images[:2], batch_size=68, verbose=0)
    model.student.get_layer("conv").trainable = False
    with pytest.raises(keras_ft.InputError, match=r"Call compile\(\) again"):
        model.fit(*images[:2], batch_size=68, verbose=0)
