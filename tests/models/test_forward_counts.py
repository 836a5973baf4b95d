"""A step is one forward pass of the teacher and one of the student."""

import keras
import pytest

from keras_ft import Distiller
from keras_ft import FactorTransfer
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers

# 24 images in batches of 8, 8 and 8.
STEPS = [8, 8, 8]
ARGUMENTS = {"batch_size": 8, "verbose": 0}


def early_factor():
    paraphraser = Paraphraser(0.5)
    paraphraser.trained = True
    return transfers.FactorMatch(
        paraphraser,
        teacher_layer_name="conv",
        student_layer_name="conv",
        name="early",
    )


ALSO = {
    "FT": list,
    "FT+KD": lambda: [transfers.SoftTargets()],
    "two taps, FT+AT+KD": lambda: [
        early_factor(),
        transfers.AttentionTransfer(),
        transfers.SoftTargets(),
    ],
}


def compiled(model):
    model.compile(
        keras.optimizers.SGD(0.05),
        keras.losses.SparseCategoricalCrossentropy(from_logits=True),
    )
    return model


def assert_one_pass_each(model, batch, anew, teacher, student):
    """In training, validation, evaluation and prediction."""
    run = {**ARGUMENTS, "callbacks": [anew]}
    model.fit(*batch, epochs=2, **run)
    assert teacher == student == 2 * STEPS
    model.evaluate(*batch, **run)
    assert teacher == student == STEPS
    model.predict(batch[0], **run)
    assert teacher == [] and student == STEPS


# Every way the networks run, with every kind of term; and in the long tests
# each alone.
@pytest.mark.parametrize(
    "also",
    [
        "two taps, FT+AT+KD",
        pytest.param("FT", marks=pytest.mark.long),
        pytest.param("FT+KD", marks=pytest.mark.long),
    ],
)
@pytest.mark.parametrize(
    ("acceleration", "onednn"),
    [("none", "0"), ("auto", "0"), ("auto", "1")],
    ids=["plain", "teacher folded", "student fused, too"],
)
def test_of_teacher_and_student(
    counted, paraphraser, batch, monkeypatch, also, acceleration, onednn
):
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", onednn)
    (teacher, taught), (student, learned) = (
        counted("teacher", 8),
        counted("student", 4),
    )
    model = FactorTransfer(
        teacher,
        student,
        paraphraser,
        also=ALSO[also](),
        acceleration=acceleration,
    )
    assert_one_pass_each(compiled(model), batch, counted.anew, taught, learned)
    said = model.accelerated
    folded = said["teacher"].startswith("batch normalization folded")
    assert folded == (acceleration == "auto")
    fused = said["student"].startswith("fused")
    assert fused == (onednn == "1")


@pytest.mark.parametrize("acceleration", ["none", "auto"])
def test_of_soft_targets_alone(counted, batch, acceleration):
    (teacher, taught), (student, learned) = (
        counted("teacher", 8),
        counted("student", 4),
    )
    model = Distiller(
        teacher,
        student,
        [transfers.SoftTargets()],
        acceleration=acceleration,
    )
    assert_one_pass_each(compiled(model), batch, counted.anew, taught, learned)


def test_of_validation_within_fit(counted, paraphraser, batch):
    (teacher, taught), (student, learned) = (
        counted("teacher", 8),
        counted("student", 4),
    )
    model = compiled(FactorTransfer(teacher, student, paraphraser))
    model.fit(
        *batch,
        validation_data=(batch[0][:6], batch[1][:6]),
        epochs=2,
        # It forgets when a validation begins: what is left is the last one.
        callbacks=[counted.anew],
        **ARGUMENTS,
    )
    assert taught == learned == [6]


@pytest.mark.parametrize("acceleration", ["none", "auto"])
def test_of_the_teacher_in_phase_1(counted, batch, acceleration):
    teacher, passes = counted("teacher", 8)
    model = ParaphraserTrainer(
        teacher, Paraphraser(0.5), acceleration=acceleration
    )
    model.compile("sgd")
    run = {**ARGUMENTS, "callbacks": [counted.anew]}
    model.fit(batch[0], epochs=2, **run)
    assert passes == 2 * STEPS
    folded = model.accelerated["teacher"].startswith("batch norm")
    assert folded == (acceleration == "auto")
    model.evaluate(batch[0], **run)
    assert passes == STEPS
    model.predict(batch[0], **run)
    assert passes == STEPS


class Stateful(keras.layers.Layer):
    """Keeps a number, for which a teacher is not folded."""

    def build(self, shape):
        self.count = self.add_weight(
            shape=(), initializer="zeros", trainable=False
        )

    def call(self, x):
        self.count.assign_add(1.0)
        return x


def test_of_a_teacher_that_cannot_be_folded(counted, paraphraser, batch):
    (inner, taught), (student, learned) = (
        counted("teacher", 8),
        counted("student", 4),
    )
    image = keras.Input((8, 8, 3))
    x = Stateful()(image)
    for layer in inner.layers[1:]:
        x = layer(x)
    teacher = keras.Model(image, x)
    model = compiled(FactorTransfer(teacher, student, paraphraser))
    assert_one_pass_each(model, batch, counted.anew, taught, learned)
    assert model.accelerated["teacher"].startswith("as it is")
