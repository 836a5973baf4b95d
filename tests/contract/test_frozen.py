"""What must not change does not: teacher, paraphraser, and all in inference.

With both accelerations: "none" runs the teacher itself, "auto" may fold it.
"""

import keras
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers

ARGUMENTS = {"batch_size": 8, "verbose": 0}
ACCELERATIONS = ("auto", "none")


def assert_folded_as_asked(model, acceleration):
    """That the test is about the path it names."""
    folded = model.accelerated["teacher"].startswith("batch norm")
    on_tensorflow = keras.backend.backend() == "tensorflow"
    assert folded == (acceleration == "auto" and on_tensorflow)


@pytest.fixture
def normalized():
    """A paraphraser whose statistics would move if it ran in training mode."""
    layer = Paraphraser(0.5, batch_normalization=True)
    layer.trained = True
    return layer


@pytest.mark.cell("teacher and paraphraser unchanged")
@pytest.mark.cell("phase 2")
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_phase_2_changes_student_and_translator_only(
    network, build, compiled, batch, values, same, acceleration
):
    model = compiled(build(acceleration=acceleration))
    # A teacher that would change if it ran in training mode.
    assert model.teacher.get_layer("norm").trainable
    frozen = values(model.teacher), values(model.paraphraser)
    trained = values(model.student), values(model.translator)
    model.fit(*batch, epochs=2, validation_data=batch, **ARGUMENTS)
    assert_folded_as_asked(model, acceleration)
    model.train_on_batch(*batch)
    same(frozen[0], values(model.teacher))
    same(frozen[1], values(model.paraphraser))
    assert model.teacher.trainable and model.paraphraser.trained
    for before, part in zip(
        trained, (model.student, model.translator), strict=True
    ):
        assert not any(map(np.array_equal, before, values(part)))


@pytest.mark.cell("teacher and paraphraser unchanged")
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_several_terms_change_neither_teacher_nor_paraphrasers(
    network, compiled, batch, values, same, normalized, acceleration
):
    early = Paraphraser(1.0, batch_normalization=True)
    early.trained = True
    model = Distiller(
        network(8),
        network(4),
        [
            transfers.FactorMatch(normalized, beta=20.0),
            transfers.FactorMatch(
                early,
                beta=20.0,
                teacher_layer_name="conv",
                student_layer_name="conv",
                name="early",
            ),
            transfers.SoftTargets(standardize=True),
            transfers.DecoupledSoftTargets(),
        ],
        acceleration=acceleration,
    )
    frozen = [model.teacher, normalized, early]
    before = [values(part) for part in frozen]
    compiled(model).fit(*batch, epochs=2, validation_data=batch, **ARGUMENTS)
    assert_folded_as_asked(model, acceleration)
    model.evaluate(*batch, **ARGUMENTS)
    model.predict(batch[0], **ARGUMENTS)
    for old, part in zip(before, frozen, strict=True):
        same(old, values(part))


@pytest.mark.cell("teacher and paraphraser unchanged")
@pytest.mark.cell("phase 1")
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_phase_1_changes_the_paraphraser_only(
    network, batch, values, same, acceleration
):
    teacher, paraphraser = network(8), Paraphraser(1.0)
    model = ParaphraserTrainer(teacher, paraphraser, acceleration=acceleration)
    model.compile(keras.optimizers.Adam(0.01))
    before, first = values(teacher), values(paraphraser)
    losses = model.fit(batch[0], epochs=20, **ARGUMENTS).history["loss"]
    assert_folded_as_asked(model, acceleration)
    same(before, values(teacher))
    assert not any(map(np.array_equal, first, values(paraphraser)))
    assert losses[-1] < 0.8 * losses[0]
    assert paraphraser.trained


@pytest.mark.cell("evaluate and predict")
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_phase_1_in_inference_changes_nothing(
    network, batch, values, same, normalized, acceleration
):
    model = ParaphraserTrainer(
        network(8), normalized, acceleration=acceleration
    )
    model.compile("sgd")
    before = values(model)
    assert len(before) > len(model.teacher.variables)
    logs = model.evaluate(batch[0], **ARGUMENTS)
    assert_folded_as_asked(model, acceleration)
    assert model.test_on_batch(batch[0]) == pytest.approx(logs, rel=1e-5)
    error, variance_kept = logs
    errors = model.predict(batch[0], **ARGUMENTS)
    assert errors.mean() == pytest.approx(error, rel=1e-5)
    assert variance_kept <= 1
    same(before, values(model))


@pytest.mark.cell("evaluate and predict")
@pytest.mark.parametrize("acceleration", ACCELERATIONS)
def test_inference_changes_nothing_and_speaks_of_the_student(
    network, build, compiled, batch, values, same, acceleration
):
    keras.utils.set_random_seed(1)
    student = network(4, dropout=0.5)
    model = compiled(build(student, acceleration=acceleration))
    model.fit(*batch, **ARGUMENTS)
    before = values(model), values(model.optimizer)
    logs = model.evaluate(*batch, return_dict=True, **ARGUMENTS)
    again = model.test_on_batch(*batch, return_dict=True)
    predictions = model.predict(batch[0], **ARGUMENTS)
    assert_folded_as_asked(model, acceleration)
    same(before[0], values(model))
    same(before[1], values(model.optimizer))
    np.testing.assert_array_equal(
        predictions, model.student.predict(batch[0], **ARGUMENTS)
    )
    for name, value in logs.items():
        # Three batches of 8 against one of 24.
        assert again[name] == pytest.approx(value, rel=1e-5), name
