"""Compare methods in one call, from settings to the table."""

import contextlib
import dataclasses
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Iterable
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft import methods as all_methods
from keras_ft.errors import InputError
from keras_ft.experiments import run_taps
from keras_ft.experiments.comparison import results
from keras_ft.experiments.comparison.trainings import Plan
from keras_ft.experiments.comparison.trainings import Trainings
from keras_ft.experiments.datasets import Loader
from keras_ft.experiments.distill import finished_teacher
from keras_ft.experiments.exporting import check_enough
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_folder import RunFolder
from keras_ft.experiments.settings import Settings
from keras_ft.methods import METHODS
from keras_ft.methods import Method

REASON, JOB = "reason.txt", "job.pickle"
CHILD = "keras_ft.experiments.comparison.child"


def compare(
    run_dir: artifacts.PathLike,
    *,
    methods: Iterable[str] = METHODS,
    seeds: int = 3,
    export: bool = True,
    teacher_pass: str = "auto",
    keep_outputs: bool = False,
    isolate: bool = False,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    **settings: Any,
) -> results.Comparison:
    """Train one student by several methods and say which is better.

    With each seed all methods start from the same weights, see the same
    batches for the same number of epochs, and learn from one pass of the
    teacher. Called again with the same folder it continues: finished
    trainings are taken from there, interrupted ones go on after their last
    complete epoch, failed ones are tried again. More methods or seeds may be
    asked for later; name the earlier ones as well, or they are left out of
    the results.

    Factor transfer trains one paraphraser per seed, so that what phase 1
    leaves to chance is in its interval as well.

    Args:
        run_dir: Folder for everything that is made; each training has a run
            folder in it, called `<method>-seed<n>`.
        methods: `"none"` (plain training), `"kd"`, `"skd"`, `"dkd"`, `"at"`,
            `"fitnet"`, `"ft"`, and sums of these such as `"ft+kd"`. Their
            weights are those of the recipe.
        seeds: How many trainings of each, at least 1.
        export: Make an int8 `.tflite` of every student and measure it.
        teacher_pass: `"cache"` keeps the teacher's outputs on disk, `"live"`
            runs the teacher in every training, `"auto"` is a cache where
            there is room. Training seconds are without the teacher's in a
            cache.
        keep_outputs: Keep that cache when all trainings of a seed are done.
        isolate: Every training in a process of its own, which makes its
            memory comparable and takes about ten seconds more for each.
        command_line: Kept for the record.
        echo: Takes lines of progress.
        **settings: Of `experiments.Settings`: `recipe`, `dataset`, `teacher`,
            `student` and others. Its `seed` is that of the split and the
            first one of the trainings.

    Returns:
        The results, which also lie in the folder as `comparison.json`,
        `trainings.csv`, `methods.csv` and `methods.tex`.

    Raises:
        InputError: Something cannot be done, or the folder was started with
            other settings; nothing was trained.

    Example:

    >>> comparison = keras_ft.compare(
    ...     "runs/compare",
    ...     methods=["none", "ft"],
    ...     seeds=1,
    ...     recipe=keras_ft.Recipe.preset("official").short(1, 1),
    ...     teacher="teacher.keras",
    ...     student="student.keras",
    ...     train_examples=256,
    ...     export=False,
    ... )
    >>> print("\\n".join(comparison.verdicts()))
    FT: ... pt against plain; one seed shows nothing
    """
    if isolate:
        # TensorFlow takes a whole GPU when it first uses one, and would leave
        # nothing to the processes.
        os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")
    of_all = _settings(settings)
    load = Loader(of_all, run_dir=run_dir, echo=echo)
    of_all = of_all.in_epochs(load)
    plan = Plan(
        path=Path(run_dir),
        settings=of_all,
        methods=all_methods.parse_all(methods),
        seeds=_seeds(seeds, of_all.seed),
        teacher_pass=teacher_pass,
        exports=export,
        command_line=tuple(command_line),
    )
    with RunFolder(run_dir, plan.configuration, plan.command_line, echo) as run:
        before = run.seconds
        trainings = _begin(run, plan, load)
        idle = all(
            plan.is_finished(method, seed)
            for method in plan.methods
            for seed in plan.seeds
        )
        reasons = _train_all(run, trainings, isolate, keep_outputs)
        if idle:
            # To look at what is there is no part of what it took.
            waited = run.content["notes"].get("idle_seconds", 0.0)
            run.note("idle_seconds", waited + run.seconds - before)
        comparison = results.read(run, trainings, reasons)
        artifacts.record(run.path, comparison.write())
        return comparison


def attempt(
    trainings: Trainings, step: str, arguments: dict[str, Any]
) -> str | None:
    """Do a step of `Trainings` in this process; return why it failed."""
    words = "-".join(str(word) for word in (step, *arguments.values()))
    path = trainings.plan.path / f"failure-{words}.txt"
    try:
        with _expected_retracing():
            getattr(trainings, step)(**arguments)
    except InputError as error:
        return str(error)
    except Exception as error:  # Whatever it is, the others shall go on.
        artifacts.write_text(path, traceback.format_exc())
        line = (str(error).strip() or "no message").splitlines()[0]
        return f"{type(error).__name__}: {line} (see {path.name})"
    path.unlink(missing_ok=True)  # Of an earlier attempt.
    return None


def _settings(settings: dict[str, Any]) -> Settings:
    """Return the settings of all trainings, without what `compare` decides."""
    for name, why, instead in (
        ("quantizations", "every student gets an int8 file", "export=False"),
        ("views", "every epoch has a view of its own", "teacher_pass='cache'"),
        ("paraphrase_views", "phase 1 has the views of phase 2", "None"),
    ):
        if settings.get(name) is not None:
            raise InputError(
                name, settings[name], f"nothing, as {why}", f"Use {instead}."
            )
    return Settings(**{**settings, "quantizations": ()})


def _seeds(count: int, first: int) -> tuple[int, ...]:
    if count < 1:
        raise InputError("seeds", count, "1 or more", "Use 3.")
    return tuple(range(first, first + count))


def _begin(run: RunFolder, plan: Plan, load: Loader) -> Trainings:
    """Return the trainings, once everything is known to fit.

    Raises:
        InputError: Networks, methods and data do not fit each other, or not
            what the folder holds.
    """
    data = load(plan.settings.recipe.distill.batch_size)
    if plan.exports:
        check_enough(data)
    teacher = finished_teacher(run, plan.settings, load)
    trainings = Trainings(plan, teacher, data, run.echo)
    run_taps.note(run, trainings.taps)
    images = trainings.test_images()
    if run.content["notes"].get("test_images", images) != images:
        if plan.has_trained():
            raise InputError(
                "dataset",
                "other test images than those that students of this "
                "comparison were measured on",
                "the same for all",
                "Bring the images back, or use another run_dir.",
            )
    run.note("test_images", images)
    chosen = _teacher_pass(run, trainings)
    run.note("teacher_pass", chosen)
    trainings.plan = dataclasses.replace(plan, teacher_pass=chosen)
    return trainings


def _teacher_pass(run: RunFolder, trainings: Trainings) -> str:
    """Return cache or live; room on the disk must not change what has begun."""
    plan, kept = trainings.plan, run.content["notes"].get("teacher_pass")
    if kept is None or not plan.has_learned():
        return trainings.teacher_pass()
    if plan.teacher_pass not in ("auto", kept):
        raise InputError(
            "teacher_pass",
            f"{plan.teacher_pass!r} for a comparison whose students learned "
            f"with {kept!r}",
            "the same for all",
            f"Leave it out, use {kept!r}, or begin in another folder.",
        )
    return str(kept)


def _train_all(
    run: RunFolder, trainings: Trainings, isolate: bool, keep_outputs: bool
) -> results.Reasons:
    """Do all that is not done; return why some of it failed."""
    plan, reasons = trainings.plan, dict[tuple[str, int], str]()
    total = len(plan.seeds) * len(plan.methods)
    begun = 0
    for seed in plan.seeds:
        pending = [m for m in plan.methods if not plan.is_finished(m, seed)]
        begun += len(plan.methods) - len(pending)
        failed = _prepare(
            run,
            trainings,
            isolate,
            seed,
            [m for m in pending if not plan.is_trained(m, seed)],
        )
        for method in pending:
            begun += 1
            run.echo(f"{method.name}, seed {seed}: training {begun} of {total}")
            reason = failed.get(method) or _try(
                trainings, isolate, "student", seed, method.name
            )
            if reason is not None:
                reasons[method.name, seed] = reason
            # A killed session's time counts up to here.
            run.note("trainings_done", begun)
        if not keep_outputs:
            trainings.forget(seed)
    return reasons


def _prepare(
    run: RunFolder,
    trainings: Trainings,
    isolate: bool,
    seed: int,
    pending: list[Method],
) -> dict[Method, str]:
    """Make what several methods need; return those that cannot have it."""
    failed: dict[Method, str] = {}
    for step, needs_it in (
        ("teacher_outputs", lambda method: bool(method.parts)),
        ("paraphraser", lambda method: method.has("ft")),
    ):
        waiting = [m for m in pending if needs_it(m) and m not in failed]
        if not waiting:
            continue
        started = time.monotonic()
        reason = _try(trainings, isolate, step, seed)
        if step == "teacher_outputs":
            name = "teacher_pass_seconds"
            before = run.content["notes"].get(name, 0.0)
            run.note(name, round(before + time.monotonic() - started, 1))
        if reason is not None:
            failed |= dict.fromkeys(waiting, f"{step}: {reason}")
    return failed


def _try(
    trainings: Trainings,
    isolate: bool,
    step: str,
    seed: int,
    method: str | None = None,
) -> str | None:
    """Do a step so that its failure stops no other; return why it failed.

    With `isolate` it has a process of its own: its memory is all its own, and
    not even the system's out-of-memory killer stops the others.
    """
    arguments: dict[str, Any] = {"seed": seed}
    if method is not None:
        arguments["method"] = method
    if isolate:
        reason = _in_child(trainings, step, arguments)
    else:
        reason = attempt(trainings, step, arguments)
    if reason is not None:
        what = step.replace("_", " ") if method is None else method
        trainings.echo(f"{what}, seed {seed}: FAILED. {reason}")
    return reason


def _in_child(
    trainings: Trainings, step: str, arguments: dict[str, Any]
) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / JOB
        job.write_bytes(pickle.dumps((trainings.plan, step, arguments)))
        command = [sys.executable, "-m", CHILD, folder]
        # Its lines are handed on; its errors are seen as well.
        with subprocess.Popen(
            command, stdout=subprocess.PIPE, text=True, encoding="utf-8"
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                trainings.echo(line.rstrip("\n"))
            code = process.wait()
        reason = Path(folder) / REASON
        if reason.is_file():
            return reason.read_text(encoding="utf-8")
    if code < 0:
        return f"its process was ended by signal {-code}"
    return f"its process ended with code {code}" if code else None


@contextlib.contextmanager
def _expected_retracing() -> Iterator[None]:
    """Silence TensorFlow's warning that one process trains many models."""

    def keep(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)
