"""The phases of a run; each is skipped where the folder has its result."""

import functools
from collections.abc import Callable
from typing import Any

import keras

from keras_ft.distribution.placement import Placement
from keras_ft.experiments import models
from keras_ft.experiments.balancing import balance
from keras_ft.experiments.distillers import factor_distiller
from keras_ft.experiments.distillers import soft_distiller
from keras_ft.experiments.evaluation import Evaluation
from keras_ft.experiments.exporting import export_student
from keras_ft.experiments.exporting import file_name
from keras_ft.experiments.follower import Follower
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.teacher_source import TeacherSource
from keras_ft.experiments.workbench import Workbench
from keras_ft.features.taps import find_tap
from keras_ft.layers import Paraphraser
from keras_ft.models.distiller import Distiller

STUDENTS = {
    "distil": "student.keras",
    "alone": "student_alone.keras",
    "kd": "student_kd.keras",
}


class Phases:
    """Runs the phases of a run folder, each at most once.

    Every method returns what the phase made, read from its file, so a
    continued run goes on with the very bytes of the first.

    Args:
        run: The run's folder, entered.
        settings: What to do.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out.

    Attributes:
        bench: Its data, and the moves that the phases share.
        source: What the phases with a teacher learn from.

    Example:

    >>> with RunFolder("runs/first", settings.configuration()) as run:
    ...     phases = Phases(run, settings, print)
    ...     teacher = phases.teacher()
    ...     paraphraser = phases.paraphrase(teacher)
    ...     student = phases.distil(teacher, paraphraser)
    """

    def __init__(
        self,
        run: RunFolder | Follower,
        settings: Settings,
        echo: Echo = silent,
        placement: Placement | None = None,
    ) -> None:
        self.folder = run.path
        self.settings = settings
        self.echo = echo
        self._placement = placement or Placement()
        self.bench = Workbench(run, settings, echo, self._placement)
        self.source = TeacherSource(self.bench)

    def teacher(self) -> keras.Model:
        """Trains the teacher, or takes the one that was named."""
        result = self.bench.once("teacher", "teacher.keras", self._make_teacher)
        self.echo(
            f"teacher: {result['accuracy']:.2%} of {result['examples']:,} "
            "test images right"
        )
        if Evaluation(result["confusion"]).is_at_chance:
            self.echo(
                "teacher: WARNING, this is hardly better than chance. Does "
                "the dataset's normalization fit this teacher, and are its "
                "classes in the same order?"
            )
        with self._placement.scope():
            return models.load_recorded(self.folder, "teacher.keras")

    def paraphrase(self, teacher: keras.Model) -> Paraphraser:
        """Phase 1: the paraphraser learns to reconstruct the features."""
        name, layer = "paraphraser.keras", self.settings.teacher_layer

        def make() -> dict[str, Any]:
            recipe = self.settings.recipe
            batches, source = self.source.of(teacher)
            keras.utils.set_random_seed(self.settings.seed)
            with self._placement.scope():
                paraphraser = recipe.paraphraser()
                trainer = recipe.paraphraser_trainer(
                    source, paraphraser, layer, self.settings.acceleration
                )
            result = self.bench.train(
                "paraphrase", trainer, recipe.paraphrase, batches
            )
            # A run killed after its last epoch never came to the end of fit.
            paraphraser.trained = True
            shape = find_tap(teacher, layer, "teacher_layer").shape
            self._save_layer(paraphraser, shape, name)
            return result

        self.bench.once("paraphrase", name, make)
        with self._placement.scope():
            network = models.load_recorded(self.folder, name)
        paraphraser: Paraphraser = network.layers[-1]
        return paraphraser

    def distil(
        self, teacher: keras.Model, paraphraser: Paraphraser
    ) -> keras.Model:
        """Phase 2: the student learns from the labels and the factors."""

        def train(student: keras.Model) -> dict[str, Any]:
            batches, source = self.source.of(teacher)
            with self._placement.scope():
                model = factor_distiller(
                    self.settings, source, student, paraphraser
                )
            result = balance(self.bench, model, batches)
            result |= self._train("distil", model, batches)
            return result | {"more_files": self._save_translator(model)}

        return self._student("distil", train, teacher)

    def alone(self) -> keras.Model:
        """The same student, trained as in phase 2 but without a teacher."""
        return self._student("alone", functools.partial(self._train, "alone"))

    def kd(self, teacher: keras.Model) -> keras.Model:
        """The same student, trained with labels and soft targets."""

        def train(student: keras.Model) -> dict[str, Any]:
            batches, source = self.source.of(teacher)
            with self._placement.scope():
                model = soft_distiller(self.settings, source, student)
            return self._train("kd", model, batches)

        return self._student("kd", train, teacher)

    def export(self, student: keras.Model, quantization: str) -> None:
        """One `.tflite` file of the student; the chief's part."""
        if not self._placement.is_chief:
            return
        name = file_name(quantization)
        result = self.bench.once(
            f"export_{quantization}",
            name,
            lambda: export_student(
                student, self.folder / name, self.bench.main_data, quantization
            ),
            together=False,
        )
        self.echo(
            f"export: {name}, {result['bytes']:,} bytes, the same answer as "
            f"Keras on {result['agreement']:.1%} of {result['samples']} images"
        )

    def _make_teacher(self) -> dict[str, Any]:
        settings, loaded = self.settings, self.bench.main_data
        if settings.teacher is not None:
            teacher = models.teacher(settings.teacher)
            models.check_fit(teacher, loaded, "teacher")
            result = {}
        else:
            assert settings.teacher_network is not None
            keras.utils.set_random_seed(settings.seed)
            with self._placement.scope():
                teacher = models.build(settings.teacher_network, loaded)
            schedule = settings.recipe.teacher
            result = self.bench.train("teacher", teacher, schedule)
        self.bench.save(teacher, "teacher.keras")
        return result | self.bench.evaluated("teacher.keras")

    def _train(
        self, phase: str, model: keras.Model, batches: Any = None
    ) -> dict[str, Any]:
        schedule = self.settings.recipe.distil
        return self.bench.train(phase, model, schedule, batches)

    def _student(
        self,
        phase: str,
        train: Callable[[keras.Model], dict[str, Any]],
        teacher: keras.Model | None = None,
    ) -> keras.Model:
        """Makes a student, trains and measures it, unless it is there."""
        name = STUDENTS[phase]

        def make() -> dict[str, Any]:
            if teacher is not None:
                # A cache that is missing is built before the seed is set.
                self.source.of(teacher)
            # One seed, so that all students start from the same weights.
            keras.utils.set_random_seed(self.settings.seed)
            loaded = self.bench.main_data
            with self._placement.scope():
                student = models.build(self.settings.student, loaded)
            result = train(student)
            self.bench.save(student, name)
            return result | self.bench.evaluated(name)

        result = self.bench.once(phase, name, make)
        self.echo(f"{phase}: {result['accuracy']:.2%} of the test images right")
        return models.load_recorded(self.folder, name)

    def _save_translator(self, distiller: Distiller) -> list[str]:
        layer = self.settings.student_layer
        shape = find_tap(distiller.student, layer, "student_layer").shape
        translator = distiller.transfers[0].translator
        self._save_layer(translator, shape, "translator.keras")
        return ["translator.keras"]

    def _save_layer(
        self, layer: keras.layers.Layer, shape: Any, name: str
    ) -> None:
        network = keras.Sequential([keras.Input(shape), layer])
        self.bench.save(network, name)
