"""The phases of a run; each is skipped where the folder has its result."""

from collections.abc import Callable
from typing import Any

import keras

from keras_ft import transfers
from keras_ft.distiller import Distiller
from keras_ft.feature_taps import find
from keras_ft.layers import Paraphraser
from keras_ft.runs import models
from keras_ft.runs.balancing import balance
from keras_ft.runs.evaluation import Evaluation
from keras_ft.runs.exporting import export_student
from keras_ft.runs.exporting import file_name
from keras_ft.runs.follower import Follower
from keras_ft.runs.placement import Placement
from keras_ft.runs.progress import Echo
from keras_ft.runs.progress import silent
from keras_ft.runs.run_folder import RunFolder
from keras_ft.runs.settings import Settings
from keras_ft.runs.workbench import Workbench

STUDENTS = {
    "distil": "student.keras",
    "alone": "student_alone.keras",
    "kd": "student_kd.keras",
}
# Hinton's mixture as Distiller weighs it: 0.1 of labels, 0.9 of soft targets.
KD_TEMPERATURE, KD_BETA, KD_TASK_WEIGHT = 4.0, 0.9, 0.1


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
            keras.utils.set_random_seed(self.settings.seed)
            with self._placement.scope():
                paraphraser = recipe.paraphraser()
                trainer = recipe.paraphraser_trainer(
                    teacher, paraphraser, layer, self.settings.acceleration
                )
            result = self.bench.train("paraphrase", trainer, recipe.paraphrase)
            # A run killed after its last epoch never came to the end of fit.
            paraphraser.trained = True
            shape = find(teacher, layer, "teacher_layer").shape
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

        def wrap(student: keras.Model) -> Distiller:
            return factor_distiller(
                self.settings, teacher, student, paraphraser
            )

        def prepare(model: Distiller) -> dict[str, Any]:
            return balance(self.bench, model)

        return self._student("distil", wrap, prepare, self._save_translator)

    def alone(self) -> keras.Model:
        """The same student, trained as in phase 2 but without a teacher."""
        return self._student("alone", lambda student: student)

    def kd(self, teacher: keras.Model) -> keras.Model:
        """The same student, trained with labels and soft targets."""

        def wrap(student: keras.Model) -> Distiller:
            return soft_distiller(self.settings, teacher, student)

        return self._student("kd", wrap)

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

    def _student(
        self,
        phase: str,
        wrap: Callable[[keras.Model], keras.Model],
        prepare: Callable[[Any], dict[str, Any]] = lambda _: {},
        save_more: Callable[[Any], list[str]] = lambda _: [],
    ) -> keras.Model:
        name = STUDENTS[phase]

        def make() -> dict[str, Any]:
            # One seed, so that all students start from the same weights.
            keras.utils.set_random_seed(self.settings.seed)
            loaded = self.bench.main_data
            with self._placement.scope():
                student = models.build(self.settings.student, loaded)
                model = wrap(student)
            result = prepare(model)
            schedule = self.settings.recipe.distil
            result |= self.bench.train(phase, model, schedule)
            self.bench.save(student, name)
            more = {"more_files": save_more(model)}
            return result | more | self.bench.evaluated(name)

        result = self.bench.once(phase, name, make)
        self.echo(f"{phase}: {result['accuracy']:.2%} of the test images right")
        return models.load_recorded(self.folder, name)

    def _save_translator(self, distiller: Distiller) -> list[str]:
        layer = self.settings.student_layer
        shape = find(distiller.student, layer, "student_layer").shape
        translator = distiller.transfers[0].translator
        self._save_layer(translator, shape, "translator.keras")
        return ["translator.keras"]

    def _save_layer(
        self, layer: keras.layers.Layer, shape: Any, name: str
    ) -> None:
        network = keras.Sequential([keras.Input(shape), layer])
        self.bench.save(network, name)


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
