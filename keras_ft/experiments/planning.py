"""Finds out what a run will cost before it is paid for."""

import functools
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.experiments import costs
from keras_ft.experiments import distillers
from keras_ft.experiments import models
from keras_ft.experiments import operations
from keras_ft.experiments import peak_memory
from keras_ft.experiments.batches_in_memory import BatchesInMemory
from keras_ft.experiments.phase_cost import PhaseCost
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.step_timer import StepTimer
from keras_ft.experiments.teacher_source import views_of
from keras_ft.experiments.training import compile_model
from keras_ft.experiments.training_plan import TrainingPlan
from keras_ft.experiments.workbench import load_data
from keras_ft.feature_cache import FeatureCache
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.optimizers import Schedule

STEPS, VALIDATION_STEPS, VIEWS = 8, 2, 8


def plan(settings: Settings, steps: int = STEPS) -> TrainingPlan:
    """Measures a few steps of each phase and counts the rest.

    It trains networks of its own for `2 * steps` steps a phase, online and
    with the teacher's outputs taken from memory, and writes nothing.

    Args:
        settings: Of the run.
        steps: Steps to average, at least 1.

    Returns:
        A `TrainingPlan`; it prints as a table.

    Raises:
        InputError: The settings do not fit each other, or Keras does not run
            on TensorFlow.

    Example:

    >>> print(plan(settings))
    network      parameters  MFLOP/image
    teacher         855,770        253.4
    ...
    """
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "backend",
            keras.backend.backend(),
            "tensorflow, whose profiler counts the operations",
            "Set KERAS_BACKEND=tensorflow.",
        )
    if steps < 1:
        raise InputError("steps", steps, "at least 1", f"Use {STEPS}.")
    return _Planner(settings, steps).plan()


class _Planner:
    """Makes what trains in each phase, once, and measures it.

    Networks are untrained where the run would have trained them: they take
    the same time.
    """

    def __init__(self, settings: Settings, steps: int) -> None:
        self.settings = settings
        self.steps = steps
        self.load = functools.cache(functools.partial(load_data, settings))
        self.in_memory = functools.cache(self._in_memory)
        self.data = self.load(settings.recipe.distil.batch_size)
        if settings.teacher is not None:
            self.teacher = models.teacher(settings.teacher)
            models.check_fit(self.teacher, self.data, "teacher")
        else:
            assert settings.teacher_network is not None
            self.teacher = models.build(settings.teacher_network, self.data)
        paraphraser = settings.recipe.paraphraser()
        self.trainer = settings.recipe.paraphraser_trainer(
            self.teacher,
            paraphraser,
            settings.teacher_layer,
            settings.acceleration,
        )
        paraphraser.trained = True
        self.distiller = distillers.factor_distiller(
            settings, self.teacher, self._student(), paraphraser
        )

    def plan(self) -> TrainingPlan:
        trained, schedules = self._trained()
        peak_memory.forget()
        # First: the peak of what follows includes it.
        cached = {
            name: self._timed(model, schedules[name], cached=True)
            for name, model in trained.items()
        }
        memory = {"cached": peak_memory.measured()}
        online = {
            name: self._timed(model, schedules[name], cached=False)
            if isinstance(model, FrozenTeacherModel)
            else cached[name]
            for name, model in trained.items()
        }
        memory["online"] = peak_memory.measured()
        image = self.data.input_shape
        flops = operations.forward(self.distiller, image)
        per_image = operations.training(self.distiller, flops, image)
        return TrainingPlan(
            parameters=self._parameters(),
            flops=flops,
            phases=tuple(
                self._cost(
                    name,
                    model,
                    schedules[name],
                    per_image[name],
                    (online[name], cached[name]),
                )
                for name, model in trained.items()
            ),
            measured_steps=self._measured(
                self.settings.recipe.distil.batch_size
            ),
            memory={name: peak for name, peak in memory.items() if peak},
            **self._cache(),
        )

    def _student(self) -> keras.Model:
        return models.build(self.settings.student, self.data)

    def _trained(self) -> tuple[dict[str, Any], dict[str, Schedule]]:
        """What trains in each phase, and its schedule."""
        settings, recipe = self.settings, self.settings.recipe
        trained: dict[str, keras.Model] = {}
        if settings.teacher is None:
            trained["teacher"] = self.teacher
        trained |= {"paraphrase": self.trainer, "distil": self.distiller}
        if "alone" in settings.baselines:
            trained["alone"] = self._student()
        if "kd" in settings.baselines:
            trained["kd"] = distillers.soft_distiller(
                settings, self.teacher, self._student()
            )
        schedules = dict.fromkeys(trained, recipe.distil)
        own = {"teacher": recipe.teacher, "paraphrase": recipe.paraphrase}
        return trained, schedules | own

    def _measured(self, batch_size: int) -> int:
        full = self.data.sizes["train"] // batch_size
        return max(1, min(self.steps, full))

    def _in_memory(self, batch_size: int) -> tuple[Any, Any]:
        """As many training and validation batches as are measured."""
        data = self.load(batch_size)
        train = data.train_from(0).take(self._measured(batch_size))
        validation = data.validation.take(VALIDATION_STEPS)
        keep = functools.partial(BatchesInMemory, self.distiller)
        return keep(train), keep(validation)

    def _timed(
        self, model: keras.Model, schedule: Schedule, cached: bool
    ) -> StepTimer:
        data = self.load(schedule.batch_size)
        steps = self._measured(schedule.batch_size)
        train = data.train_from(0).take(2 * steps)
        validation = data.validation.take(VALIDATION_STEPS)
        if cached and isinstance(model, FrozenTeacherModel):
            train, validation = self.in_memory(schedule.batch_size)
        optimizer = schedule.optimizer(data.steps_per_epoch)
        compile_model(model, optimizer, labels=model is not self.trainer)
        timer = StepTimer()
        model.fit(
            train,
            validation_data=validation if data.sizes["validation"] else None,
            steps_per_epoch=steps,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=[timer],
        )
        return timer

    def _parameters(self) -> dict[str, int]:
        match = self.distiller.transfers[0]
        return {
            "teacher": self.teacher.count_params(),
            "paraphraser": match.paraphraser.count_params(),
            "translator": match.translator.count_params(),
            "student": self.distiller.student.count_params(),
        }

    def _cost(
        self,
        name: str,
        model: keras.Model,
        schedule: Schedule,
        flops: int,
        timers: tuple[StepTimer, StepTimer],
    ) -> PhaseCost:
        data, batch = self.load(schedule.batch_size), schedule.batch_size
        validation = -(-data.sizes["validation"] // batch)
        online, cached = (
            timer.start
            + schedule.epochs * data.steps_per_epoch * timer.step
            + schedule.epochs * validation * timer.validation_step
            for timer in timers
        )
        teacher = 0
        if isinstance(model, FrozenTeacherModel):
            # As the last fit ran it: folded, and up to the tap.
            teacher = costs.forward_flops(model.run_teacher, data.input_shape)
        return PhaseCost(
            name=name,
            steps=schedule.epochs * data.steps_per_epoch,
            flops=batch * (flops + teacher),
            step_seconds=timers[0].step,
            seconds=online,
            cached_flops=batch * flops,
            cached_step_seconds=timers[1].step,
            cached_seconds=cached,
        )

    def _cache(self) -> dict[str, Any]:
        settings = self.settings
        views = views_of(settings, settings.views or VIEWS)
        size, seconds = FeatureCache.cost(
            self.teacher,
            self.data,
            taps=(settings.teacher_layer,),
            logits="kd" in settings.baselines,
            views=views,
            acceleration=settings.acceleration,
        )
        return {
            "cache_bytes": size,
            "cache_seconds": seconds,
            "cache_views": views,
        }
