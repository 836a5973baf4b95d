"""A step is one forward pass of each network on each replica's share."""

import keras
import pytest

from keras_ft import FactorTransfer
from keras_ft import Paraphraser
from keras_ft import ParaphraserTrainer
from keras_ft import transfers

# 16 images in batches of 8, which two replicas share.
STEPS = [4, 4] * 2
ARGUMENTS = {"batch_size": 8, "verbose": 0}


@pytest.mark.parametrize(
    "acceleration", ["auto", pytest.param("none", marks=pytest.mark.long)]
)
def test_of_teacher_and_student(counted, strategy, images, acceleration):
    x, y = (array[:16] for array in images[:2])
    with strategy.scope():
        (teacher, taught), (student, learned) = (
            counted("teacher", 8),
            counted("student", 4),
        )
        paraphraser = Paraphraser(0.5)
        paraphraser.trained = True
        model = FactorTransfer(
            teacher,
            student,
            paraphraser,
            also=[transfers.SoftTargets()],
            acceleration=acceleration,
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.05), loss)
    run = {**ARGUMENTS, "callbacks": [counted.anew]}
    model.fit(x, y, epochs=2, **run)
    assert taught == learned == 2 * STEPS
    model.evaluate(x, y, **run)
    assert taught == learned == STEPS
    model.predict(x, **run)
    assert taught == [] and learned == STEPS


def test_of_the_teacher_in_phase_1(counted, strategy, images):
    x = images[0][:16]
    with strategy.scope():
        teacher, passes = counted("teacher", 8)
        model = ParaphraserTrainer(teacher, Paraphraser(0.5))
        model.compile(keras.optimizers.SGD(0.05))
    run = {**ARGUMENTS, "callbacks": [counted.anew]}
    model.fit(x, epochs=2, **run)
    assert passes == 2 * STEPS
    model.evaluate(x, **run)
    assert passes == STEPS
