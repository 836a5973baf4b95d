"""What must not change does not: teacher, paraphraser, and all in inference."""

import keras
import numpy as np
import pytest

from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer

ARGUMENTS = {"batch_size": 8, "verbose": 0}


@pytest.mark.cell("teacher and paraphraser unchanged")
@pytest.mark.cell("phase 2")
def test_phase_2_changes_student_and_translator_only(
    network, build, compiled, batch, values, same
):
    model = compiled(build())
    # A teacher that would change if it ran in training mode.
    assert model.teacher.get_layer("norm").trainable
    frozen = values(model.teacher), values(model.paraphraser)
    trained = values(model.student), values(model.translator)
    model.fit(*batch, epochs=2, validation_data=batch, **ARGUMENTS)
    model.train_on_batch(*batch)
    same(frozen[0], values(model.teacher))
    same(frozen[1], values(model.paraphraser))
    assert model.teacher.trainable and model.paraphraser.trained
    for before, part in zip(
        trained, (model.student, model.translator), strict=True
    ):
        assert not any(map(np.array_equal, before, values(part)))


@pytest.mark.cell("teacher and paraphraser unchanged")
@pytest.mark.cell("phase 1")
def test_phase_1_changes_the_paraphraser_only(network, batch, values, same):
    teacher, paraphraser = network(8), Paraphraser(1.0)
    model = ParaphraserTrainer(teacher, paraphraser)
    model.compile(keras.optimizers.Adam(0.01))
    before, first = values(teacher), values(paraphraser)
    losses = model.fit(batch[0], epochs=20, **ARGUMENTS).history["loss"]
    same(before, values(teacher))
    assert not any(map(np.array_equal, first, values(paraphraser)))
    assert losses[-1] < 0.8 * losses[0]
    assert paraphraser.trained


@pytest.mark.cell("evaluate and predict")
def test_inference_changes_nothing_and_speaks_of_the_student(
    network, build, compiled, batch, values, same
):
    keras.utils.set_random_seed(1)
    model = compiled(build(network(4, dropout=0.5)))
    model.fit(*batch, **ARGUMENTS)
    before = values(model), values(model.optimizer)
    logs = model.evaluate(*batch, return_dict=True, **ARGUMENTS)
    again = model.test_on_batch(*batch, return_dict=True)
    predictions = model.predict(batch[0], **ARGUMENTS)
    same(before[0], values(model))
    same(before[1], values(model.optimizer))
    np.testing.assert_array_equal(
        predictions, model.student.predict(batch[0], **ARGUMENTS)
    )
    for name, value in logs.items():
        # Three batches of 8 against one of 24.
        assert again[name] == pytest.approx(value, rel=1e-5), name
