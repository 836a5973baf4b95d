"""Phase 1: reconstruction without labels, teacher untouched."""

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
    found = phase1.evaluate(*batch, batch_size=8, verbose=0)
    assert found == pytest.approx(expected, rel=1e-5)
    errors = phase1.predict(batch[0], verbose=0)
    per_image = (np.abs(features - restored) ** power).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(errors, per_image, rtol=1e-4)


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
