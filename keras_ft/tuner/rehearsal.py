"""Makes the models of a trial once, before anything is computed for it."""

import keras
import keras_tuner

from keras_ft.errors import InputError
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.tuner import space
from keras_ft.tuner.trials import Trials
from keras_ft.validation.labels import check_labels_fit


def rehearse(trials: Trials, teacher: keras.Model) -> None:
    """Refuses what would fail in every trial.

    Args:
        trials: Student, data and recipe.
        teacher: As it was trained.

    Raises:
        InputError: Student, teacher, their taps and the labels do not fit each
            other, or the student declares one of the search's parameters.

    Example:

    >>> rehearse(trials, teacher)
    """
    hp = keras_tuner.HyperParameters()
    student = trials.student(hp)
    if taken := sorted(set(space.NAMES) & set(hp.values)):
        raise InputError(
            "student",
            f"a function with a parameter called {taken[0]!r}",
            f"other names than {', '.join(space.NAMES)}",
            "Rename it there; the search declares its own.",
        )
    _check_tap(trials, student)
    check_labels_fit(student, trials.loss(), trials.data.train_from(0), None)
    # Whatever the rates are: one may fail alone.
    recipe = trials.base.replace(rate=1.0)
    recipe.distiller(
        teacher,
        student,
        recipe.paraphraser(),
        trials.teacher_layer_name,
        trials.student_layer_name,
        also=trials.soft_targets({}),
        acceleration="none",
    )


def _check_tap(trials: Trials, student: keras.Model) -> None:
    name, argument = trials.student_layer_name, "student_layer_name"
    if name is None:
        return
    another = trials.student(keras_tuner.HyperParameters())
    tables = [
        [tap.name for tap in taps_of(model)] for model in (student, another)
    ]
    if all(name in table for table in tables):
        return
    if tables[0] != tables[1]:
        raise InputError(
            argument,
            f"{name!r}, but Keras numbers this student's layers anew each time "
            "it is made",
            "a name that the layer has in every student",
            "Give it one in your function: Conv2D(..., name='features').",
        )
    find_tap(student, name, argument)
