"""What all trials of a search have in common."""

import dataclasses
import functools
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras
import keras_tuner

from keras_ft.data.dataset import ImageData
from keras_ft.distiller import Distiller
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import key as keys
from keras_ft.layers import Paraphraser
from keras_ft.recipes import Recipe
from keras_ft.runs import models
from keras_ft.transfers import SoftTargets
from keras_ft.tuner.paraphrasers import Echo
from keras_ft.tuner.paraphrasers import Paraphrasers
from keras_ft.tuner.trial_folder import TrialFolder

Student = str | Callable[[Any], keras.Model]
TEMPERATURE, KD_WEIGHT = 4.0, 0.9
_OF_THE_RECIPE = ("rate", "beta", "p")


@dataclasses.dataclass(frozen=True)
class Trials:
    """Models, settings and folders of trials.

    Args: Those of `FactorTransferHyperModel`; `folder` is its `cache_dir`,
        `kd` says whether there is a soft-target term.

    Example:

    >>> trials.recipe({"rate": 0.5, "learning_rate": 0.05}).rate
    0.5
    """

    student_source: Student
    data: ImageData
    folder: Path
    base: Recipe
    teacher_layer_name: str | None
    student_layer_name: str | None
    kd: bool
    seed: int
    acceleration: str
    echo: Echo | None

    def student(self, hp: Any, execution: int = 0) -> keras.Model:
        """A new compiled student; the same weights for every trial."""
        keras.utils.set_random_seed(self.seed + execution)
        source = self.student_source
        if isinstance(source, str):
            student = models.build(source, self.data)
        else:
            student = source(hp)
        student.compile("sgd", self.loss(), metrics=["accuracy"])
        return student

    def loss(self) -> keras.losses.Loss:
        """The task's loss."""
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def recipe(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with a trial's values put in."""
        changes = {
            name: values[name] for name in _OF_THE_RECIPE if name in values
        }
        if "learning_rate" in values:
            changes["distil"] = dataclasses.replace(
                self.base.distil, learning_rate=values["learning_rate"]
            )
        return self.base.replace(**changes)

    def distiller(
        self,
        cache: FeatureCache,
        student: keras.Model,
        paraphraser: Paraphraser,
        values: Mapping[str, Any],
    ) -> Distiller:
        """The compiled model of phase 2."""
        soft = SoftTargets(
            values.get("temperature", TEMPERATURE),
            beta=values.get("kd_weight", KD_WEIGHT),
        )
        recipe = self.recipe(values)
        model = recipe.distiller(
            cache.teacher,
            student,
            paraphraser,
            self.teacher_layer_name,
            self.student_layer_name,
            also=(soft,) if self.kd else (),
            acceleration=self.acceleration,
        )
        optimizer = recipe.distil.optimizer(cache.steps_per_epoch)
        model.compile(optimizer, self.loss(), metrics=["accuracy"])
        return model

    def paraphrasers(self, cache: FeatureCache) -> Paraphrasers:
        """Those of phase 1."""
        return Paraphrasers(
            self.folder / "paraphrasers",
            cache,
            self.teacher_layer_name,
            self.seed,
            self.acceleration,
            self.echo,
        )

    def folder_of(
        self,
        cache: FeatureCache,
        values: Mapping[str, Any],
        objective: str,
        execution: int = 0,
    ) -> TrialFolder:
        """Where a trial is kept: found by all that decides its result."""
        recipe = self.recipe(values).to_dict()
        for irrelevant in ("name", "source", "teacher"):
            del recipe[irrelevant]
        key = {
            "cache": cache.key,
            "layers": [self.teacher_layer_name, self.student_layer_name],
            "recipe": recipe,
            "values": dict(values),
            "kd": self.kd,
            "seed": self.seed,
            "acceleration": self.acceleration,
            "objective": objective,
            "execution": execution,
            "student": self._student_key,
        }
        path = self.folder / "trials" / keys.digest(key)[:16]
        return TrialFolder(path, objective)

    @functools.cached_property
    def _student_key(self) -> keys.Key:
        # Its own parameters are among the values.
        return keys.of_teacher(self.student(keras_tuner.HyperParameters()))

    def say(self, line: str) -> None:
        """A line of progress."""
        if self.echo is not None:
            self.echo(line)
