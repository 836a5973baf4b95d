"""Phase 1: reconstruction without labels, teacher untouched."""

import h5py
import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer


def features_of(teacher, images):
    layer = teacher.get_layer("features")
    return keras.Model(teacher.input, layer.output).predict(images, verbose=0)


@pytest.mark.parametrize(("loss", "power"), [("l1", 1), ("l2", 2)])
def test_the_loss_is_the_mean_reconstruction_error(network, batch, loss, power):
    teacher, paraphraser = network(8), Paraphraser(0.5)
    phase1 = ParaphraserTrainer(teacher, paraphraser, loss=loss)
    phase1.compile("sgd")
    features = features_of(teacher, batch[0])
    restored = np.array(paraphraser.reconstruct(features))
    expected = (np.abs(features - restored) ** power).mean()
    found = phase1.evaluate(*batch, batch_size=8, verbose=0, return_dict=True)
    assert found["loss"] == pytest.approx(expected, rel=1e-5)
    errors = phase1.predict(batch[0], verbose=0)
    per_image = (np.abs(features - restored) ** power).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(errors, per_image, rtol=1e-4)


def test_the_share_of_the_variance_is_that_of_all_batches(network, batch):
    teacher, paraphraser = network(8), Paraphraser(1.0)
    phase1 = ParaphraserTrainer(teacher, paraphraser)
    # A rate of 0, so that all batches see the same weights.
    phase1.compile(keras.optimizers.SGD(0.0))
    # Batches of 10, 10 and 4: a mean of their shares would be another number.
    logs = phase1.fit(
        batch[0],
        batch_size=10,
        epochs=2,
        validation_data=(batch[0][:12],),
        verbose=0,
    ).history
    features = features_of(teacher, batch[0]).astype("float64")
    restored = np.array(paraphraser.reconstruct(features.astype("float32")))
    for prefix, size in (("", 24), ("val_", 12)):
        part = features[:size]
        around = ((part - part.mean(axis=(0, 1, 2))) ** 2).sum()
        expected = 1 - ((part - restored[:size]) ** 2).sum() / around
        found = logs[f"{prefix}variance_kept"]
        assert found == pytest.approx([expected] * 2, rel=1e-5)


def test_checkpoints_know_nothing_of_the_metrics(network, batch, tmp_path):
    """Those of a version without them load."""
    phase1 = ParaphraserTrainer(network(8), Paraphraser(0.5))
    phase1.compile("sgd")
    phase1.fit(batch[0], verbose=0)
    phase1.save_weights(tmp_path / "phase1.weights.h5")
    with h5py.File(tmp_path / "phase1.weights.h5") as file:
        assert not [name for name in file if "variance" in name]


def test_it_learns_without_labels_and_changes_only_the_paraphraser(
    network, batch
):
    teacher, paraphraser = network(8), Paraphraser(1.0)
    phase1 = ParaphraserTrainer(teacher, paraphraser)
    phase1.compile(keras.optimizers.Adam(0.01))
    before = [np.array(v) for v in teacher.variables]
    assert not paraphraser.trained
    fit = phase1.fit(batch[0], batch_size=8, epochs=30, verbose=0)
    history = fit.history["loss"]
    assert history[-1] < 0.7 * history[0]
    assert paraphraser.trained
    assert teacher.trainable
    for old, new in zip(before, teacher.variables, strict=True):
        np.testing.assert_array_equal(old, new)


def test_labels_in_the_data_change_nothing(network, batch):
    def train(data):
        keras.utils.set_random_seed(2)
        phase1 = ParaphraserTrainer(network(8), Paraphraser(0.5))
        phase1.compile("sgd")
        return phase1.fit(*data, shuffle=False, verbose=0).history

    assert train(batch) == train(batch[:1])


def test_a_saved_file_is_complete(network, batch, tmp_path):
    phase1 = ParaphraserTrainer(
        network(8), Paraphraser(0.5), loss="l2", acceleration="none"
    )
    phase1.compile("sgd")
    phase1.fit(batch[0], verbose=0)
    phase1.save(tmp_path / "phase1.keras")
    loaded = keras.models.load_model(tmp_path / "phase1.keras")
    assert loaded.reconstruction_loss == "l2"
    assert loaded.paraphraser.trained
    np.testing.assert_array_equal(
        loaded.predict(batch[0], verbose=0), phase1.predict(batch[0], verbose=0)
    )


def test_unknown_losses_are_refused(network):
    with pytest.raises(InputError, match="'l1' or 'l2'"):
        ParaphraserTrainer(network(8), Paraphraser(0.5), loss="mse")


def test_no_update_is_no_training(network, batch):
    paraphraser = Paraphraser()
    phase1 = ParaphraserTrainer(network(8), paraphraser)
    phase1.compile("sgd")
    phase1.fit(batch[0], epochs=0, verbose=0)
    assert not paraphraser.trained and paraphraser.trained_on is None
    phase1.fit(batch[0], epochs=1, verbose=0)
    assert paraphraser.trained and len(paraphraser.trained_on) == 64


@pytest.mark.filterwarnings("ignore:Your input ran out of data")
def test_a_stream_without_a_batch_is_no_training(network, batch):
    tf = pytest.importorskip("tensorflow", reason="tf.data is TensorFlow's")
    paraphraser = Paraphraser()
    phase1 = ParaphraserTrainer(network(8), paraphraser)
    phase1.compile("sgd")
    dataset = tf.data.Dataset.from_tensor_slices(batch[0]).batch(4)
    phase1.fit(dataset.filter(lambda x: False), epochs=1, verbose=0)
    assert not paraphraser.trained
