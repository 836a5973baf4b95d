"""What all trials of a search have in common."""

import dataclasses
import json
from collections.abc import Callable
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_ft.data.image_data import ImageData
from keras_ft.experiments import models
from keras_ft.feature_cache import FeatureCache
from keras_ft.features import digests
from keras_ft.features import feature_taps
from keras_ft.layers import Paraphraser
from keras_ft.models.distiller import Distiller
from keras_ft.recipes import Recipe
from keras_ft.transfers import SoftTargets
from keras_ft.transfers.transfer import Transfer
from keras_ft.tuner import space
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
        `searched` are the names of its axes, and `kd` says whether there is a
        soft-target term.

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
    searched: tuple[str, ...]
    kd: bool
    seed: int
    acceleration: str
    echo: Echo | None
    # Of students that were built before.
    _student_keys: dict[str, dict[str, Any]] = dataclasses.field(
        default_factory=dict, init=False, repr=False, compare=False
    )

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
        searched = self._searched(values)
        changes = {
            name: searched[name] for name in _OF_THE_RECIPE if name in searched
        }
        if "learning_rate" in searched:
            changes["distil"] = dataclasses.replace(
                self.base.distil, learning_rate=searched["learning_rate"]
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
        recipe = self.recipe(values)
        model = recipe.distiller(
            cache.teacher,
            student,
            paraphraser,
            self.teacher_layer_name,
            self.student_layer_name,
            also=self.soft_targets(values),
            acceleration=self.acceleration,
        )
        optimizer = recipe.distil.optimizer(cache.steps_per_epoch)
        model.compile(optimizer, self.loss(), metrics=["accuracy"])
        return model

    def soft_targets(self, values: Mapping[str, Any]) -> tuple[Transfer, ...]:
        """The term beside the factor's, where there is one."""
        if not self.kd:
            return ()
        searched = self._searched(values)
        temperature = searched.get("temperature", TEMPERATURE)
        weight = searched.get("kd_weight", KD_WEIGHT)
        return (SoftTargets(temperature, beta=weight),)

    def _searched(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Without the student's own parameters."""
        return {n: v for n, v in values.items() if n in self.searched}

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
        hp: Any,
        objective: str,
        execution: int = 0,
    ) -> TrialFolder:
        """Where a trial is kept: found by all that decides its result."""
        values = space.values_of(hp)
        recipe = self.recipe(values).to_dict()
        for irrelevant in ("name", "source", "teacher"):
            del recipe[irrelevant]
        key = {
            "cache": cache.key,
            "layer": self.teacher_layer_name,
            "recipe": recipe,
            "values": values,
            "kd": self.kd,
            "seed": self.seed,
            "acceleration": self.acceleration,
            "objective": objective,
            "execution": execution,
            "student": self._student_key(hp, execution),
        }
        path = self.folder / "trials" / digests.digest(key)[:16]
        return TrialFolder(path, objective)

    def _student_key(self, hp: Any, execution: int) -> dict[str, Any]:
        known = json.dumps([space.values_of(hp), execution])
        if known not in self._student_keys:
            student = self.student(hp.copy(), execution)
            name, argument = self.student_layer_name, "student_layer_name"
            tap = feature_taps.find(student, name, argument)
            place = [t.name for t in feature_taps.taps(student)].index(tap.name)
            self._student_keys[known] = {
                "student weights": digests.weights_digest(student),
                "student architecture": digests.graph_digest(
                    student, trained=True
                ),
                "student tap": place,
            }
        return self._student_keys[known]

    def say(self, line: str) -> None:
        """A line of progress."""
        if self.echo is not None:
            self.echo(line)
