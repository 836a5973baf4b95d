"""What all trainings of a comparison share, made once per process."""

from typing import Any

import keras

from keras_ft.data.image_data import ImageData
from keras_ft.experiments import models
from keras_ft.experiments.comparison.plan import Plan
from keras_ft.experiments.comparison.tap_pairs import TapPairs
from keras_ft.experiments.comparison.teacher_outputs import TeacherOutputs
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.workbench import load_data


class Bench:
    """Data, teacher, and what the methods take from the teacher.

    Args:
        plan: What was asked for.
        teacher: As it was trained.
        data: The images, in batches of phase 2.
        echo: Takes lines of progress.

    Attributes:
        pairs: Feature maps of the two networks that are compared.
        outputs: The teacher's outputs for all of them.

    Raises:
        InputError: Networks, methods and data do not fit each other.

    Example:

    >>> bench = Bench.load(plan, print)
    >>> batches, teacher = bench.outputs.batches(seed=0)
    """

    def __init__(
        self, plan: Plan, teacher: keras.Model, data: ImageData, echo: Echo
    ) -> None:
        self.plan = plan
        self.teacher = teacher
        self.data = data
        self.echo = echo
        settings = plan.settings
        self.pairs = TapPairs.of(
            teacher,
            models.build(settings.student, data),
            plan.methods,
            settings.teacher_layer,
            settings.student_layer,
        )
        self.outputs = TeacherOutputs(plan, teacher, data, self.pairs, echo)

    @classmethod
    def load(cls, plan: Plan, echo: Echo) -> "Bench":
        """From the folder of a comparison that has begun."""
        teacher = models.load_recorded(plan.path, "teacher.keras")
        recipe = plan.settings.recipe
        data: Any = load_data(plan.settings, recipe.distil.batch_size)
        return cls(plan, teacher, data, echo)
