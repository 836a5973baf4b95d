"""Tell what a run will cost: measure a few steps, count the rest."""

import dataclasses
import statistics
import time
from collections.abc import Iterable
from collections.abc import Mapping
from typing import Any

import keras
import tqdm

from keras_ft import methods
from keras_ft.errors import InputError
from keras_ft.experiments import flops
from keras_ft.experiments import networks
from keras_ft.experiments import peak_memory
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.distill import paraphrase_views
from keras_ft.experiments.distill import sized
from keras_ft.experiments.distill import views_of
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.training import compile_model
from keras_ft.feature_cache import FeatureCache
from keras_ft.features.extraction import feature_extractor
from keras_ft.features.taps import find_tap
from keras_ft.models.frozen_teacher import FrozenTeacherModel
from keras_ft.models.teacher_pass import FEATURES
from keras_ft.models.teacher_pass import IMAGES
from keras_ft.models.teacher_pass import LOGITS
from keras_ft.models.teacher_pass import TeacherPass
from keras_ft.optimizers import Schedule
from keras_ft.tables import text_table

STEPS, VALIDATION_STEPS, VIEWS = 8, 2, 8


@dataclasses.dataclass(frozen=True)
class PhaseCost:
    """Steps, operations and time of a phase, online and cached.

    Attributes:
        name: The phase's: `teacher`, `paraphrase`, or a method's.
        steps: Training steps, all epochs.
        flops: Floating point operations of a step; a backward pass counts as
            two forward passes.
        step_seconds: Of a training step, measured.
        seconds: Of the phase: start, training and validation; of phase 1 also
            the teacher's pass, where it has views of its own.
        cached_flops: As `flops`, the teacher's outputs read from a cache.
        cached_step_seconds: As `step_seconds`, likewise.
        cached_seconds: As `seconds`, likewise.

    Where no teacher runs, cached and online are the same.
    """

    name: str
    steps: int
    flops: int
    step_seconds: float
    seconds: float
    cached_flops: int
    cached_step_seconds: float
    cached_seconds: float


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """Hold sizes, times and memory of a run; print them as a table.

    Attributes:
        parameters: Numbers of each network, by name.
        flops: Floating point operations of a forward pass for one image of
            each network, whole; a multiply and an add are two.
        phases: What each phase costs, in order.
        measured_steps: Steps whose times were averaged.
        memory: Peak in bytes and whose memory that is, measured: of
            `"cached"` training, then of all, which is that of `"online"`.
            Empty where the system does not tell.
        cache_bytes: Size of the feature cache, in float16; 0 where no method
            has a teacher.
        cache_seconds: Time to compute it, from four batches.
        cache_views: Differently augmented epochs it holds.
        augment: What is done to training images, as in "crop+flip".
    """

    parameters: Mapping[str, int]
    flops: Mapping[str, int]
    phases: tuple[PhaseCost, ...]
    measured_steps: int
    memory: Mapping[str, tuple[int, str]]
    cache_bytes: int
    cache_seconds: float
    cache_views: int
    augment: str

    @property
    def seconds(self) -> float:
        """Return all training and validation, the teacher in every step."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def cached_seconds(self) -> float:
        """Return the same with a feature cache, computing it included."""
        cached = sum(phase.cached_seconds for phase in self.phases)
        return self.cache_seconds + cached

    def __str__(self) -> str:
        lines = [*text_table(self._networks()), "", *text_table(self._costs())]
        return "\n".join([*lines, "", *self._sentences()])

    def _networks(self) -> list[list[str]]:
        head = ["network", "parameters", "MFLOP/image"]
        return [head] + [
            [name, f"{count:,}", f"{self.flops[name] / 1e6:.1f}"]
            for name, count in self.parameters.items()
        ]

    def _costs(self) -> list[list[str]]:
        head = ["phase", "steps", "GFLOP/step", "ms/step", "time"]
        head += ["cached: GFLOP", "ms", "time"]
        rows = []
        for phase in self.phases:
            row = [phase.name, f"{phase.steps:,}"]
            for count, step, seconds in (
                (phase.flops, phase.step_seconds, phase.seconds),
                (
                    phase.cached_flops,
                    phase.cached_step_seconds,
                    phase.cached_seconds,
                ),
            ):
                row += [f"{count / 1e9:.2f}", f"{1000 * step:.1f}"]
                row.append(_clock(seconds))
            rows.append(row)
        cache = ["cache", *[""] * 6, _clock(self.cache_seconds)]
        total = ["total", *[""] * 3, _clock(self.seconds)]
        total += ["", "", _clock(self.cached_seconds)]
        return [head, *rows, cache, total]

    def _sentences(self) -> list[str]:
        return [
            f"Times: the mean of {self.measured_steps} steps on this machine "
            "as it is now, with start and validation; without the tests and "
            "files at the end.",
            f"Training images: {self.augment}; --augment changes it.",
            self._on_memory(),
            f"Feature cache: {self.cache_bytes:,} bytes for "
            f"{self.cache_views} views in float16; --views="
            f"{self.cache_views} trains from it.",
        ]

    def _on_memory(self) -> str:
        if not self.memory:
            return "Peak memory: this system does not tell it."
        whose = next(iter(self.memory.values()))[1]
        told = ", ".join(
            f"{name} {count / 1e6:,.0f} MB"
            for name, (count, _) in self.memory.items()
        )
        return f"Peak memory of {whose}, measured: {told}."


def plan(settings: Settings, steps: int = STEPS) -> TrainingPlan:
    """Measure a few steps of each phase and count the rest.

    It trains networks of its own for `2 * steps` steps a phase, online and
    with the teacher's outputs taken from memory, and writes nothing. Networks
    are untrained where the run would have trained them: they take the same
    time.

    Args:
        settings: Of the run.
        steps: Steps to average, at least 1.

    Returns:
        A `TrainingPlan`; it prints as a table.

    Raises:
        InputError: The settings do not fit each other, or Keras does not run
            on TensorFlow.
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
    load = Loader(settings)
    settings = sized(settings, load)
    data = load(settings.recipe.distill.batch_size)
    trained, schedules = _phases(settings, load, data)
    peak_memory.forget()
    # First: the peak of what follows includes it.
    cached = {
        name: _timed(model, schedules[name], load, steps, cached=True)
        for name, model in trained.items()
    }
    memory = {"cached": peak_memory.measured()}
    passes = _own_passes(settings, load, trained)
    online = {
        name: _timed(model, schedules[name], load, steps, cached=False)
        if isinstance(model, FrozenTeacherModel) and name not in passes
        else cached[name]
        for name, model in trained.items()
    }
    memory["online"] = peak_memory.measured()
    whole, per_image = _flops(trained, data.input_shape)
    return TrainingPlan(
        parameters={
            name: network.count_params()
            for name, network in _networks(trained).items()
        },
        flops=whole,
        phases=tuple(
            _cost(
                name,
                model,
                schedules[name],
                load(schedules[name].batch_size),
                per_image[name],
                (online[name], cached[name]),
                passes.get(name),
            )
            for name, model in trained.items()
        ),
        measured_steps=_measured(
            data, settings.recipe.distill.batch_size, steps
        ),
        memory={name: peak for name, peak in memory.items() if peak},
        **_cache(settings, data, trained),
        augment=data.augment,
    )


class StepTimer(keras.callbacks.Callback):
    """Time a `fit` of two epochs: the first traces, the second is measured.

    Every loss is waited for, as the callbacks of a run do.

    Attributes:
        start: Seconds that the first epoch took longer than the second.
        step: Seconds of a training step, its batch included; the mean of
            all but the first.
        validation_step: The same of validation, 0 without it.
    """

    def __init__(self) -> None:
        super().__init__()
        self.start = self.step = self.validation_step = 0.0
        self._began = self._epoch_began = time.perf_counter()
        self._steps: list[float] = []
        self._validation_steps: list[float] = []

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._epoch_began = time.perf_counter()
        self._steps, self._validation_steps = [], []

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._steps.append(time.perf_counter())

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        _finish(self._steps, logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        self._validation_steps.append(time.perf_counter())

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        _finish(self._validation_steps, logs)

    def on_train_end(self, logs: Any = None) -> None:
        first = self._epoch_began - self._began
        second = time.perf_counter() - self._epoch_began
        self.start = max(0.0, first - second)
        self.step = _mean(self._steps)
        self.validation_step = _mean(self._validation_steps)


class BatchesInMemory(keras.utils.PyDataset):
    """Return a few batches with the outputs of a distiller's teacher.

    They train like those of a `FeatureCache` without one being built.

    Args:
        model: Whose teacher, and the features and outputs it wants.
        dataset: Finite; gives images and labels.
    """

    def __init__(
        self, model: FrozenTeacherModel, dataset: Iterable[Any]
    ) -> None:
        super().__init__()
        taps = [find_tap(model.teacher, n, "taps") for n in model.teacher_taps]
        run = TeacherPass(model.teacher, taps)
        self._batches = []
        for images, labels in dataset:
            features, logits = run(images)
            x = {
                IMAGES: images,
                FEATURES: {
                    tap.name: feature
                    for tap, feature in zip(taps, features, strict=True)
                },
                LOGITS: logits,
            }
            self._batches.append((x, labels))

    def __len__(self) -> int:
        return len(self._batches)

    def __getitem__(self, index: int) -> Any:
        return self._batches[index]


def _phases(
    settings: Settings, load: Loader, data: Any
) -> tuple[dict[str, Any], dict[str, Schedule]]:
    """Return what trains in each phase, and its schedule."""
    recipe = settings.recipe
    if settings.teacher is not None:
        teacher = load.teacher(data)
    else:
        assert settings.teacher_network is not None
        teacher = networks.build(settings.teacher_network, data)
    trained: dict[str, Any] = {}
    if settings.teacher is None:
        trained["teacher"] = teacher
    chosen = methods.parse_all(settings.methods)
    paraphraser = None
    if any(method.has("ft") for method in chosen):
        paraphraser = recipe.paraphraser()
        trained["paraphrase"] = recipe.paraphraser_trainer(
            teacher,
            paraphraser,
            settings.teacher_layer,
            settings.acceleration,
        )
        paraphraser.trained = True
    for method in chosen:
        trained[method.name] = recipe.distiller(
            teacher,
            networks.build(settings.student, data, settings.weights),
            paraphraser,
            settings.teacher_layer,
            settings.student_layer,
            acceleration=settings.acceleration,
            method=method.name,
        )
    schedules = dict.fromkeys(trained, recipe.distill)
    own = {"teacher": recipe.teacher, "paraphrase": recipe.paraphrase}
    return trained, schedules | own


def _own_passes(
    settings: Settings, load: Any, trained: Mapping[str, Any]
) -> dict[str, float]:
    """Return seconds of the teacher's pass for a phase's own views, by name."""
    phase, found = "paraphrase", dict[str, float]()
    if phase in trained:
        model = trained[phase]
        data = load(settings.recipe.paraphrase.batch_size)
        tap = find_tap(model.teacher, model.teacher_taps[0], "teacher_layer")
        if views := paraphrase_views(settings, data, tap):
            _, found[phase] = FeatureCache.cost(
                model.teacher,
                data,
                taps=(tap.name,),
                views=views,
                acceleration=settings.acceleration,
            )
    return found


def _measured(data: Any, batch_size: int, steps: int) -> int:
    """Return how many steps are measured: whole batches of one epoch."""
    return max(1, min(steps, data.sizes["train"] // batch_size))


def _timed(
    model: keras.Model,
    schedule: Schedule,
    load: Any,
    steps: int,
    cached: bool,
) -> StepTimer:
    data = load(schedule.batch_size)
    steps = _measured(data, schedule.batch_size, steps)
    train = data.train_from(0).take(2 * steps)
    validation = data.validation.take(VALIDATION_STEPS)
    if cached and isinstance(model, FrozenTeacherModel):
        train = BatchesInMemory(model, data.train_from(0).take(steps))
        validation = BatchesInMemory(model, validation)
    optimizer = schedule.optimizer(data.steps_per_epoch)
    compile_model(model, data, optimizer)
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


def _cost(
    name: str,
    model: keras.Model,
    schedule: Schedule,
    data: Any,
    per_image: int,
    timers: tuple[StepTimer, StepTimer],
    own_pass: float | None,
) -> PhaseCost:
    batch, steps = schedule.batch_size, schedule.epochs * data.steps_per_epoch
    validation = schedule.epochs * -(-data.sizes["validation"] // batch)
    online, cached = (
        timer.start + steps * timer.step + validation * timer.validation_step
        for timer in timers
    )
    teacher = 0
    if isinstance(model, FrozenTeacherModel) and own_pass is None:
        # As the last fit ran it: folded, and up to the tap.
        teacher = flops.forward_flops(model.run_teacher, data.input_shape)
    return PhaseCost(
        name=name,
        steps=steps,
        flops=batch * (per_image + teacher),
        step_seconds=timers[0].step,
        seconds=online + (own_pass or 0.0),
        cached_flops=batch * per_image,
        cached_step_seconds=timers[1].step,
        cached_seconds=cached,
    )


def _networks(trained: Mapping[str, Any]) -> dict[str, Any]:
    """Return the networks of a run by name, of the first method."""
    found: dict[str, Any] = {}
    for model in trained.values():
        if isinstance(model, FrozenTeacherModel):
            found.setdefault("teacher", model.teacher)
        if (factor := _factor_term(model)) is not None:
            found.setdefault("paraphraser", factor.paraphraser)
            found.setdefault("translator", factor.translator)
    student = list(trained.values())[-1]
    found["student"] = getattr(student, "student", student)
    return found


def _factor_term(model: Any) -> Any:
    terms = getattr(model, "transfers", ())
    return next((term for term in terms if term.term == "factor"), None)


def _flops(
    trained: Mapping[str, Any], image: tuple[int, ...]
) -> tuple[dict[str, int], dict[str, int]]:
    """Return operations for one image: of each network, of each phase.

    Those of a phase are a training step's, less the teacher's. A backward
    pass counts as two forward passes, as everybody estimates. Terms without
    a network of their own count nothing, hints neither: they are small.
    """
    found, count = _networks(trained), flops.forward_flops
    whole: dict[str, int] = {
        name: count(found[name], image)
        for name in ("teacher", "student")
        if name in found
    }
    factor = 0
    if "paraphraser" in found:
        match = next(m for m in map(_factor_term, trained.values()) if m)
        teacher_tap = _tap_shape(
            found["teacher"], match.teacher_layer_name, image
        )
        student_tap = _tap_shape(
            found["student"], match.student_layer_name, image
        )
        whole["paraphraser"] = count(match.paraphraser.reconstruct, teacher_tap)
        whole["translator"] = count(match.student_factor, student_tap)
        factor = count(match.teacher_factor, teacher_tap)
    per_image = {}
    for name, model in trained.items():
        if name == "teacher":
            per_image[name] = 3 * whole["teacher"]
        elif name == "paraphrase":
            per_image[name] = 3 * whole["paraphraser"]
        else:
            per_image[name] = 3 * whole["student"]
            if _factor_term(model) is not None:
                per_image[name] += 3 * whole["translator"] + factor
    return {name: whole[name] for name in found}, per_image


def _tap_shape(
    model: keras.Model, layer: str | None, image: tuple[int, ...]
) -> tuple[int, ...]:
    """Return a tap's shape for images of one size, where any are taken."""
    tap = find_tap(model, layer, "layer")
    features: Any = feature_extractor(model, [tap])(
        keras.KerasTensor((1, *image))
    )[0]
    return tuple(features.shape[1:])


def _cache(
    settings: Settings, data: Any, trained: Mapping[str, Any]
) -> dict[str, Any]:
    views = views_of(settings, settings.views or VIEWS)
    learning = [
        model
        for model in trained.values()
        if isinstance(model, FrozenTeacherModel)
    ]
    taps = dict.fromkeys(n for m in learning for n in m.teacher_taps)
    logits = methods.use_outputs(methods.parse_all(settings.methods))
    if not taps and not logits:
        return {"cache_bytes": 0, "cache_seconds": 0.0, "cache_views": views}
    size, seconds = FeatureCache.cost(
        learning[0].teacher,
        data,
        taps=tuple(taps),
        logits=logits,
        views=views,
        acceleration=settings.acceleration,
    )
    return {
        "cache_bytes": size,
        "cache_seconds": seconds,
        "cache_views": views,
    }


def _mean(steps: list[float]) -> float:
    # The first one opens the stream: many more steps of a run share that.
    later = steps[1:] or steps
    return statistics.fmean(later) if later else 0.0


def _finish(steps: list[float], logs: Any) -> None:
    float((logs or {}).get("loss", 0.0))
    steps[-1] = time.perf_counter() - steps[-1]


def _clock(seconds: float) -> str:
    clock: str = tqdm.tqdm.format_interval(seconds)
    return clock
