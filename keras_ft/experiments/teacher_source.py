"""What the students of a run learn from: the teacher, or what it once said."""

import shutil
import time
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.workbench import Workbench
from keras_ft.feature_cache import FeatureCache

FOLDER = "teacher_outputs"


class TeacherSource:
    """Batches and teacher of the phases that have one.

    Without `Settings.views` these are the dataset and the teacher itself.
    With them the teacher runs over that many epochs once, at the first phase
    that asks; then batches carry its outputs, and the teacher is one without
    weights.

    Args:
        bench: Of the run.

    Raises:
        InputError: A cache is asked for on several devices.

    Example:

    >>> batches, teacher = TeacherSource(bench).of(teacher)
    """

    def __init__(self, bench: Workbench) -> None:
        self._bench = bench
        self._cache: FeatureCache | None = None
        if bench.settings.views and bench.placement.strategy is not None:
            raise InputError(
                "views",
                f"{bench.settings.views} with the strategy "
                f"{bench.placement.name!r}",
                "a feature cache on one device only",
                "Leave out one of them.",
            )

    def of(self, teacher: keras.Model) -> tuple[Any, keras.Model]:
        """What to train on (`None` is the dataset), and the teacher to use.

        Raises:
            InputError: See `FeatureCache.build`.
        """
        if self._bench.settings.views is None:
            return None, teacher
        if self._cache is None:
            self._cache = self._build(teacher, self._bench.settings.views)
        return self._cache, self._cache.teacher

    def forget(self) -> None:
        """Removes the cache; there is nothing left to learn."""
        self._cache = None
        shutil.rmtree(self._bench.run.path / FOLDER, ignore_errors=True)

    def _build(self, teacher: keras.Model, views: int) -> FeatureCache:
        bench, settings = self._bench, self._bench.settings
        begun = time.monotonic()
        cache = FeatureCache.build(
            bench.run.path / FOLDER,
            teacher,
            bench.main_data,
            taps=(settings.teacher_layer,),
            logits="kd" in settings.baselines,
            views=views_of(settings, views),
            acceleration=settings.acceleration,
            echo=bench.echo,
        )
        name = "teacher_pass_seconds"
        before = bench.run.content["notes"].get(name, 0.0)
        bench.run.note(name, round(before + time.monotonic() - begun, 1))
        return cache


def views_of(settings: Settings, asked: int) -> int:
    """How many views a run uses: not more than epochs in a phase."""
    recipe = settings.recipe
    return min(asked, max(recipe.paraphrase.epochs, recipe.distil.epochs))
