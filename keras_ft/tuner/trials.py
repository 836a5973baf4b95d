"""The models, settings and folders that all trials of a search share."""

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from keras_ft import methods
from keras_ft.data.image_data import ImageData
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.students import train_paraphraser
from keras_ft.experiments.training import compile_model
from keras_ft.feature_cache import FeatureCache
from keras_ft.features import digests
from keras_ft.features.taps import find_tap
from keras_ft.features.taps import taps as taps_of
from keras_ft.layers import Paraphraser
from keras_ft.recipes import Recipe
from keras_ft.tuner import space
from keras_ft.tuner.trial_folder import TrialFolder
from keras_ft.validation.labels import check_labels_fit

Student = str | Callable[[Any], keras.Model]
_OF_THE_RECIPE = {
    "rate": "rate",
    "beta": "beta",
    "p": "p",
    "kd_weight": "kd_alpha",
}
_OF_PHASE_1 = (
    "rate",
    "rounding",
    "paraphrase",
    "reconstruction_loss",
    "paraphraser_batch_normalization",
)


@dataclasses.dataclass(frozen=True)
class Trials:
    """Models, settings and folders of trials.

    Args: Those of `FactorTransferHyperModel`; `folder` is its `cache_dir`,
        `searched` are the names of its axes.
    """

    student_source: Student
    data: ImageData
    folder: Path
    base: Recipe
    teacher_layer_name: str | None
    student_layer_name: str | None
    searched: tuple[str, ...]
    method: str
    seed: int
    acceleration: str
    echo: Echo | None
    metrics: tuple[keras.metrics.Metric, ...] = ()
    # Of students that were built before.
    _student_keys: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def student(self, hp: Any, execution: int = 0) -> keras.Model:
        """Return a new compiled student, with the same weights every time."""
        keras.utils.set_random_seed(self.seed + execution)
        source = self.student_source
        if isinstance(source, str):
            student = networks.build(source, self.data)
        else:
            student = source(hp)
        compile_model(student, self.data, metrics=self.metrics)
        return student

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """Return the recipe with a trial's values put in."""
        searched = self._searched(values)
        changes = {
            field: searched[name]
            for name, field in _OF_THE_RECIPE.items()
            if name in searched
        }
        if "temperature" in searched:
            term = methods.parse(self.method).soft_targets
            changes[f"{term}_temperature"] = searched["temperature"]
        if "learning_rate" in searched:
            changes["distill"] = dataclasses.replace(
                self.base.distill, learning_rate=searched["learning_rate"]
            )
        return self.base.replace(**changes)

    def check(self, teacher: keras.Model) -> None:
        """Refuse what would fail in every trial.

        Args:
            teacher: As it was trained.

        Raises:
            InputError: Student, teacher, their taps and the labels do not
                fit each other, or the student declares one of the search's
                parameters.
        """
        hp = keras_tuner.HyperParameters()
        student = self.student(hp)
        if taken := sorted(set(space.NAMES) & set(hp.values)):
            raise InputError(
                "student",
                f"a function with a parameter called {taken[0]!r}",
                f"other names than {', '.join(space.NAMES)}",
                "Rename it there; the search declares its own.",
            )
        self._check_tap(student)
        check_labels_fit(student, student.loss, self.data.train_from(0), None)
        # Whatever the rates are: one may fail alone.
        recipe = self.base.replace(rate=1.0)
        pairs = self._pairs(teacher, student)
        parsed = methods.parse(self.method)
        methods.check(parsed, recipe, teacher, student, pairs)

    def distiller(
        self,
        cache: FeatureCache,
        student: keras.Model,
        paraphraser: Paraphraser | None,
        values: Mapping[str, Any],
    ) -> keras.Model:
        """Return the model of phase 2, not compiled."""
        teacher = cache.teacher
        return methods.build(
            self.method,
            self.recipe(values),
            teacher,
            student,
            paraphraser,
            methods.names_of(self._pairs(teacher, student)),
            self.acceleration,
        )

    def teacher_taps(self, teacher: keras.Model) -> tuple[str, ...]:
        """Return the teacher's feature maps that the method compares."""
        student = self.student(keras_tuner.HyperParameters())
        pairs = self._pairs(teacher, student)
        return tuple(dict.fromkeys(pair[0].name for pair in pairs.values()))

    def paraphraser(
        self, cache: FeatureCache, recipe: Recipe
    ) -> Paraphraser | None:
        """Return the trained paraphraser of a recipe, trained now if need be.

        It is found by everything it depends on: the teacher, the data and
        their order (the key of the feature cache), the rate, all of the
        recipe's phase 1, and the seed. One that is being trained by another
        process is waited for; one whose process was killed is trained on from
        its last complete epoch.

        Raises:
            InputError: The rate leaves no channel, training diverges, or a
                file is damaged.
        """
        if not methods.parse(self.method).has("ft"):
            return None
        content = recipe.to_dict()
        kept = {name: content[name] for name in _OF_PHASE_1} | {
            "cache": cache.key,
            "seed": self.seed,
            "acceleration": self.acceleration,
        }
        folder = self.folder / "paraphrasers" / digests.digest(kept)[:16]
        with RunFolder(folder, kept, echo=self.say, wait=True) as run:
            file = folder / "paraphraser.keras"
            if run.is_finished("paraphrase") and not file.is_file():
                # One that was deleted, say because it was damaged.
                del run.content["phases"]["paraphrase"]
            name = f"phase 1: paraphraser of rate {recipe.rate:g}"
            trained = run.is_finished("paraphrase")
            self.say(name)
            paraphraser = train_paraphraser(
                run,
                recipe,
                lambda: (cache, cache.teacher),
                self.seed,
                self.teacher_layer_name,
                self.acceleration,
            )
            if not trained:
                self.say(f"{name} trained")
            return paraphraser

    def _pairs(self, teacher: keras.Model, student: keras.Model) -> Any:
        return methods.tap_pairs(
            [methods.parse(self.method)],
            teacher,
            student,
            self.teacher_layer_name,
            self.student_layer_name,
        )

    def _check_tap(self, student: keras.Model) -> None:
        name, argument = self.student_layer_name, "student_layer_name"
        if name is None:
            return
        another = self.student(keras_tuner.HyperParameters())
        tables = [
            [tap.name for tap in taps_of(model)] for model in (student, another)
        ]
        if all(name in table for table in tables):
            return
        if tables[0] != tables[1]:
            raise InputError(
                argument,
                f"{name!r}, but Keras numbers this student's layers anew each "
                "time it is made",
                "a name that the layer has in every student",
                "Give it one in your function: Conv2D(..., name='features').",
            )
        find_tap(student, name, argument)

    def _searched(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Return the values without the student's own parameters."""
        return {n: v for n, v in values.items() if n in self.searched}

    def folder_of(
        self,
        cache: FeatureCache,
        hp: Any,
        objective: str,
        execution: int = 0,
        direction: str | None = None,
    ) -> TrialFolder:
        """Return the folder of a trial, named after all that decides it."""
        values = space.values_of(hp)
        recipe = self.recipe(values).to_dict()
        for irrelevant in ("name", "source", "teacher"):
            del recipe[irrelevant]
        key: dict[str, Any] = {
            "cache": cache.key,
            "layer": self.teacher_layer_name,
            "recipe": recipe,
            "values": values,
            "method": self.method,
            "seed": self.seed,
            "acceleration": self.acceleration,
            "objective": objective,
            "execution": execution,
            "student": self._student_key(hp, execution),
        }
        if self.metrics:
            serialize = keras.saving.serialize_keras_object
            key["metrics"] = [serialize(metric) for metric in self.metrics]
            key["direction"] = direction
        path = self.folder / "trials" / digests.digest(key)[:16]
        return TrialFolder(path, objective, direction)

    def _student_key(self, hp: Any, execution: int) -> dict[str, Any]:
        known = json.dumps([space.values_of(hp), execution])
        if known not in self._student_keys:
            student = self.student(hp.copy(), execution)
            name, argument = self.student_layer_name, "student_layer_name"
            tap = find_tap(student, name, argument)
            place = [t.name for t in taps_of(student)].index(tap.name)
            self._student_keys[known] = {
                "student weights": digests.weights_digest(student),
                "student architecture": digests.graph_digest(
                    student, trained=True
                ),
                "student tap": place,
            }
        return self._student_keys[known]

    def say(self, line: str) -> None:
        """Tell a line of progress."""
        if self.echo is not None:
            self.echo(line)
