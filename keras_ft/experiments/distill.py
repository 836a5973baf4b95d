"""Whole runs: from settings to a folder of networks, files and numbers."""

import dataclasses
import functools
import math
import shutil
import time
from collections.abc import Iterable
from typing import Any

import keras

from keras_ft import artifacts
from keras_ft import methods
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments import networks
from keras_ft.experiments import run_taps
from keras_ft.experiments import students
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.datasets import note_dataset
from keras_ft.experiments.evaluation import Evaluation
from keras_ft.experiments.exporting import check_enough
from keras_ft.experiments.exporting import checked_on
from keras_ft.experiments.exporting import export_student
from keras_ft.experiments.exporting import file_name
from keras_ft.experiments.fine_tuning import fine_tuned
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import METRICS
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.experiments.training import summary
from keras_ft.experiments.training import train
from keras_ft.export import ExportError
from keras_ft.feature_cache import FeatureCache
from keras_ft.features.taps import Tap
from keras_ft.optimizers import Schedule

TEACHER_OUTPUTS = "teacher_outputs"
# Enough for phase 1: one view of 4,500 images left as good a paraphraser.
PARAPHRASE_VIEWS = 4
# Of a cache that nobody asked for; the teacher runs in every step beyond.
_MOST_BYTES = 2 * 2**30
_FLOAT16_BYTES = 2


def train_teacher(
    run_dir: artifacts.PathLike,
    settings: Settings,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Train a teacher, or continue to.

    Args:
        run_dir: The run's folder.
        settings: Must name a `teacher_network`.
        command_line: Kept for the record.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out. On several
            machines the workers other than the chief get no metrics.

    Returns:
        What `metrics.json` holds: `teacher_accuracy`, `teacher_parameters`,
        `test_examples`, `seconds`.

    Raises:
        InputError: Settings do not fit each other or the folder.
    """
    placement = placement or Placement()
    # There is no phase 1 whose length could matter.
    recipe = settings.recipe.replace(paraphrase_steps=0)
    settings = dataclasses.replace(settings, recipe=recipe)
    configuration = _configuration("train_teacher", settings, placement)
    with (
        placement.explained(run_dir),
        RunFolder(run_dir, configuration, command_line, echo, placement) as run,
    ):
        load = Loader(settings, placement, run_dir, echo, with_student=False)
        finished_teacher(run, settings, load)
        return _write_metrics(run)


def distill(
    run_dir: artifacts.PathLike,
    settings: Settings,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    placement: Placement | None = None,
) -> dict[str, Any]:
    """Train a student by every method of the settings, export the first one's.

    Args:
        run_dir: The run's folder.
        settings: What to do.
        command_line: Kept for the record.
        echo: Takes lines of progress.
        placement: Where it trains; one device if left out. On several
            machines the workers other than the chief get no metrics.

    Returns:
        What `metrics.json` holds. Accuracies are on the test split and go
        from 0 to 1: `teacher_accuracy`, and `<method>_accuracy` for each
        method, the first being that of `student.keras`. `variance_kept` is
        that of the paraphraser, see `metrics.VarianceKept`, on the validation
        images, or the training images if there are none. For each `.tflite`
        file, with `tflite` or `tflite_<quantization>` in front: `_bytes`,
        `_agreement`, `_accuracy`, on the images that `run.json` names as
        `checked_on`. Then `methods`, `teacher_parameters`,
        `student_parameters`, `test_examples` and `seconds`. `export_refused`
        gives the reason for each `.tflite` file that was not good enough to
        be handed over.

    Raises:
        InputError: Settings do not fit each other or the folder.
    """
    placement = placement or Placement()
    _check_strategy(settings, placement)
    with placement.explained(run_dir):
        load = Loader(settings, placement, run_dir, echo)
        data = load(settings.recipe.distill.batch_size)
        if settings.quantizations:
            check_enough(data)
        settings = sized(settings, load, placement)
        configuration = _configuration("distill", settings, placement)
        with RunFolder(
            run_dir, configuration, command_line, echo, placement
        ) as run:
            teacher = finished_teacher(run, settings, load)
            _train_students(run, settings, load, teacher)
            refused = {}
            for quantization in settings.quantizations:
                try:
                    _export(run, data, quantization)
                except ExportError as error:
                    # The other results stand; the caller is told at the end.
                    refused[quantization] = str(error)
            return _write_metrics(run, refused)


def sized(
    settings: Settings, load: Any, placement: Placement | None = None
) -> Settings:
    """Return the settings with what the size of their data decides.

    That is phase 1's length in epochs. Where that makes many of a few, the
    teacher runs over `PARAPHRASE_VIEWS` of them once: its forward passes would
    take longer than the paraphraser's training.

    Args:
        settings: Of a run.
        load: A `Loader` of them.
        placement: Where the run trains; one device if left out.
    """
    before = settings.recipe
    settings = settings.in_epochs(load)
    enough = 2 * max(PARAPHRASE_VIEWS, before.paraphrase.epochs)
    if (
        before.paraphrase_steps
        and settings.recipe.paraphrase.epochs >= enough
        and settings.views is None
        and settings.paraphrase_views is None
        and (placement is None or placement.strategy is None)
    ):
        return dataclasses.replace(settings, paraphrase_views=PARAPHRASE_VIEWS)
    return settings


def finished_teacher(
    run: RunFolder, settings: Settings, load: Loader
) -> keras.Model:
    """Train the run's teacher, or take the one that was named.

    Args:
        run: Its folder, entered.
        settings: Of the run.
        load: Of these settings.

    Returns:
        The teacher, read from `teacher.keras` of the run.
    """
    name, placement = "teacher.keras", run.placement
    data = load(settings.recipe.distill.batch_size)
    note_dataset(run, data, load.ranges)

    def make() -> dict[str, Any]:
        result: dict[str, Any] = {}
        if load.fits_teacher:
            teacher, result = fine_tuned(run, settings, load, data)
        elif settings.teacher is not None:
            teacher = load.teacher(data)
        else:
            assert settings.teacher_network is not None
            schedule = settings.recipe.teacher
            keras.utils.set_random_seed(settings.seed)
            with placement.scope():
                teacher = load.converted(
                    networks.build(settings.teacher_network, data), data
                )
            rows = train(
                run.path,
                "teacher",
                teacher,
                load(schedule.batch_size).labelled_only(),
                schedule,
                echo=run.echo,
                placement=placement,
            )
            result = summary(teacher, rows)
        students.save(run, teacher, name)
        return result | students.measure(run, name, data)

    result = run.once("teacher", [name], make)
    run.echo(
        f"teacher: {result['accuracy']:.2%} of {result['examples']:,} test "
        "images right"
    )
    if Evaluation(result["confusion"]).is_at_chance:
        run.echo(
            "teacher: WARNING, this is hardly better than chance. Do its "
            "pixels fit (--pixels), and are its classes in the same order?"
        )
    with placement.scope():
        return networks.load_recorded(run.path, name)


def _train_students(
    run: RunFolder, settings: Settings, load: Any, teacher: keras.Model
) -> None:
    recipe, chosen = settings.recipe, methods.parse_all(settings.methods)
    data = load(recipe.distill.batch_size)
    # What does not fit is found before anything is trained.
    with run.placement.scope():
        example = networks.build(settings.student, data, settings.weights)
        pairs = methods.tap_pairs(
            chosen,
            teacher,
            example,
            run_taps.layer(run, "teacher", teacher),
            run_taps.layer(run, "student", example),
        )
        for method in chosen:
            methods.check(method, recipe, teacher, example, pairs)
    run_taps.note(run, pairs)

    def online(schedule: Schedule) -> students.Source:
        return lambda: (load(schedule.batch_size), teacher)

    def labels_only() -> tuple[Any, keras.Model]:
        return data.labelled_only(), teacher

    cached = None
    if settings.views is not None:
        cached = _cached(
            run,
            settings,
            data,
            teacher,
            [pair[0].name for pair in pairs.values()],
            views_of(settings, settings.views),
            methods.use_outputs(chosen),
        )
    paraphraser = None
    if any(method.has("ft") for method in chosen):
        tap = pairs["factor"][0]
        first = load(recipe.paraphrase.batch_size)
        of_phase_1 = cached or online(recipe.paraphrase)
        if views := paraphrase_views(settings, first, tap):
            of_phase_1 = _cached(
                run, settings, first, teacher, [tap.name], views
            )
        paraphraser = students.train_paraphraser(
            run,
            recipe,
            of_phase_1,
            settings.seed,
            tap.name,
            settings.acceleration,
        )

    for method in chosen:

        def build(
            student: keras.Model,
            teacher: keras.Model,
            batches: Any,
            method: methods.Method = method,
        ) -> keras.Model:
            model = methods.build(
                method.name,
                recipe,
                teacher,
                student,
                paraphraser,
                methods.names_of(pairs),
                settings.acceleration,
            )
            if method.has("ft") and settings.beta_ratio is not None:
                found = students.measure_beta(
                    run, model, batches, settings.beta_ratio
                )
                model.transfers[0].beta = found["beta"]
            return model

        shipped = method == chosen[0]
        result = students.train_student(
            run,
            method.name,
            "student.keras" if shipped else f"student_{method.name}.keras",
            student=settings.student,
            weights=settings.weights,
            seed=settings.seed,
            schedule=recipe.distill,
            data=data,
            source=(cached or online(recipe.distill))
            if method.parts
            else labels_only,
            build=build,
        )
        run.echo(
            f"{method.name}: {result['accuracy']:.2%} of the test images right"
        )
    # There is nothing left to learn from it.
    shutil.rmtree(run.path / TEACHER_OUTPUTS, ignore_errors=True)


def _cached(
    run: RunFolder,
    settings: Settings,
    data: Any,
    teacher: keras.Model,
    taps: Iterable[str],
    views: int,
    logits: bool = False,
) -> students.Source:
    """Return a source whose batches carry the teacher's outputs.

    The teacher runs over so many epochs once, when a training first asks.
    """

    @functools.cache
    def source() -> tuple[Any, keras.Model]:
        begun = time.monotonic()
        cache = FeatureCache.build(
            run.path / TEACHER_OUTPUTS,
            teacher,
            data,
            taps=list(dict.fromkeys(taps)),
            logits=logits,
            views=views,
            acceleration=settings.acceleration,
            echo=run.echo,
        )
        name = "teacher_pass_seconds"
        before = run.content["notes"].get(name, 0.0)
        run.note(name, round(before + time.monotonic() - begun, 1))
        return cache, cache.teacher

    return source


def views_of(settings: Settings, asked: int) -> int:
    """Return how many views a run uses: not more than epochs in a phase."""
    recipe = settings.recipe
    return min(asked, max(recipe.paraphrase.epochs, recipe.distill.epochs))


def paraphrase_views(settings: Settings, data: Any, tap: Tap) -> int | None:
    """Return how many views phase 1 trains from by itself, `None` for none.

    Args:
        settings: Of the run, `sized`.
        data: The dataset, in batches of phase 1.
        tap: The teacher's, whose features would be kept.
    """
    asked, epochs = settings.paraphrase_views, settings.recipe.paraphrase.epochs
    if asked is None or settings.views is not None or None in tap.shape:
        return None
    views = min(asked, epochs)
    rows = views * data.rows("train")
    rows += data.rows("validation") + data.rows("test")
    size = _FLOAT16_BYTES * rows * math.prod(n for n in tap.shape if n)
    return views if size <= _MOST_BYTES else None


def _check_strategy(settings: Settings, placement: Placement) -> None:
    if settings.beta_ratio is not None and placement.name == "multi_worker":
        raise InputError(
            "beta_ratio",
            f"{settings.beta_ratio:g} with the strategy 'multi_worker'",
            "a beta that is measured by one process",
            "Run `keras-ft distill --beta=auto` on one machine until it says "
            "which, and give the number to all workers.",
        )
    if settings.views and placement.strategy is not None:
        raise InputError(
            "views",
            f"{settings.views} with the strategy {placement.name!r}",
            "a feature cache on one device only",
            "Leave out one of them.",
        )


def _configuration(
    command: str, settings: Settings, placement: Placement
) -> dict[str, Any]:
    content = {"command": command, **settings.configuration()}
    return content | {"strategy": placement.name}


def _export(run: RunFolder, data: Any, quantization: str) -> None:
    """Write one `.tflite` file of the first method's student."""
    if not run.placement.is_chief:
        return
    name = file_name(quantization)
    phase = f"export_{quantization}"

    def make() -> dict[str, Any]:
        student = networks.load_recorded(run.path, "student.keras")
        return export_student(student, run.path / name, data, quantization)

    # A refusal must not leave other workers waiting.
    result = run.once(phase, [name], make, together=False)
    run.echo(
        f"export: {name}, {result['bytes']:,} bytes, the same answer as Keras "
        f"on {result['agreement']:.1%} of {checked_on(result)}"
    )


def _write_metrics(
    run: RunFolder, refused: dict[str, str] | None = None
) -> dict[str, Any]:
    # Nobody leaves before the chief is done.
    run.placement.agree(None)
    if not run.placement.is_chief:
        return {}
    teacher = run.result("teacher")
    metrics: dict[str, Any] = {"teacher_accuracy": teacher["accuracy"]}
    if run.is_finished("paraphrase"):
        first = run.result("paraphrase")
        # Runs that an earlier version began have none.
        if "variance_kept" in first:
            metrics["variance_kept"] = first["variance_kept"]
    trained = [m for m in run.configuration["methods"] if run.is_finished(m)]
    for method in trained:
        metrics[f"{method}_accuracy"] = run.result(method)["accuracy"]
    for phase in run.content["phases"]:
        if phase.startswith("export_"):
            metrics |= _of_export(run, phase)
    metrics["teacher_parameters"] = teacher["parameters"]
    if trained:
        metrics["methods"] = trained
        metrics["student_parameters"] = run.result(trained[0])["parameters"]
    metrics["test_examples"] = teacher["examples"]
    metrics["seconds"] = round(run.seconds, 1)
    if refused:
        metrics["export_refused"] = refused
    artifacts.write_json(run.path / METRICS, metrics)
    artifacts.record(run.path, [METRICS])
    return metrics


def _of_export(run: RunFolder, phase: str) -> dict[str, Any]:
    quantization = phase.removeprefix("export_")
    front = "tflite" if quantization == "none" else f"tflite_{quantization}"
    result = run.result(phase)
    return {
        f"{front}_{name}": result[name]
        for name in ("bytes", "agreement", "accuracy")
    }
