"""The models that train a run's students with a teacher."""

import keras

from keras_ft import transfers
from keras_ft.experiments.settings import Settings
from keras_ft.layers import Paraphraser
from keras_ft.models.distiller import Distiller

# Hinton's mixture as Distiller weighs it: 0.1 of labels, 0.9 of soft targets.
KD_TEMPERATURE, KD_BETA, KD_TASK_WEIGHT = 4.0, 0.9, 0.1


def factor_distiller(
    settings: Settings,
    teacher: keras.Model,
    student: keras.Model,
    paraphraser: Paraphraser,
) -> Distiller:
    """What trains in phase 2."""
    return settings.recipe.distiller(
        teacher,
        student,
        paraphraser,
        teacher_layer_name=settings.teacher_layer,
        student_layer_name=settings.student_layer,
        acceleration=settings.acceleration,
    )


def soft_distiller(
    settings: Settings, teacher: keras.Model, student: keras.Model
) -> Distiller:
    """What trains in the baseline of soft targets."""
    term = transfers.SoftTargets(KD_TEMPERATURE, beta=KD_BETA)
    return Distiller(
        teacher,
        student,
        [term],
        task_weight=KD_TASK_WEIGHT,
        acceleration=settings.acceleration,
    )
