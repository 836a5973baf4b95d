"""One call from settings to the table: `keras_ft.compare`."""

import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from keras_ft import artefacts
from keras_ft.comparison import collecting
from keras_ft.comparison import files
from keras_ft.comparison.attempts import Attempts
from keras_ft.comparison.attempts import share_gpu
from keras_ft.comparison.bench import Bench
from keras_ft.comparison.comparison import Comparison
from keras_ft.comparison.method import METHODS
from keras_ft.comparison.method import Method
from keras_ft.comparison.method import parse_all
from keras_ft.comparison.method_settings import MethodSettings
from keras_ft.comparison.opening import opened
from keras_ft.comparison.plan import Plan
from keras_ft.comparison.trainings import Trainings
from keras_ft.errors import InputError
from keras_ft.runs.progress import Echo
from keras_ft.runs.progress import silent
from keras_ft.runs.run_folder import RunFolder
from keras_ft.runs.settings import Settings

Reasons = dict[tuple[str, int], str]


def compare(
    run_dir: artefacts.PathLike,
    *,
    methods: Iterable[str] = METHODS,
    seeds: int = 3,
    method_settings: MethodSettings | None = None,
    export: bool = True,
    teacher_pass: str = "auto",
    keep_outputs: bool = False,
    isolate: bool = False,
    command_line: Iterable[str] = (),
    echo: Echo = silent,
    **settings: Any,
) -> Comparison:
    """Trains one student by several methods and says which is better.

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
        methods: `"none"` (plain training), `"kd"`, `"at"`, `"fitnet"`,
            `"ft"`, and sums of these such as `"ft+kd"`.
        seeds: How many trainings of each, at least 1.
        method_settings: Weights of KD, AT and FitNets; the published ones if
            left out. Those of factor transfer are the recipe's.
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
        **settings: Of `runs.Settings`: `recipe`, `dataset`, `teacher`,
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
        share_gpu()
    of_all = _of_all(settings)
    plan = Plan(
        path=Path(run_dir),
        settings=of_all,
        method_settings=method_settings or MethodSettings(),
        methods=parse_all(methods),
        seeds=_seeds(seeds, of_all.seed),
        teacher_pass=teacher_pass,
        exports=export,
        command_line=tuple(command_line),
    )
    with RunFolder(run_dir, plan.configuration, plan.command_line) as run:
        before = run.seconds
        bench = opened(run, plan, echo)
        idle = _is_finished(bench.plan)
        reasons = _train_all(run, bench, isolate, keep_outputs)
        if idle:
            # To look at what is there is no part of what it took.
            waited = run.content["notes"].get("idle_seconds", 0.0)
            run.note("idle_seconds", waited + run.seconds - before)
        comparison = collecting.comparison(run, bench, reasons)
        artefacts.record(run.path, files.write(comparison))
        return comparison


def _of_all(settings: dict[str, Any]) -> Settings:
    """The settings of all trainings, without what `compare` decides."""
    for name, why, instead in (
        ("baselines", "methods say what is trained", "methods=['none', ...]"),
        ("quantizations", "every student gets an int8 file", "export=False"),
        ("views", "every epoch has a view of its own", "teacher_pass='cache'"),
    ):
        if settings.get(name) is not None:
            raise InputError(
                name, settings[name], f"nothing, as {why}", f"Use {instead}."
            )
    return Settings(**{**settings, "baselines": (), "quantizations": ()})


def _seeds(count: int, first: int) -> tuple[int, ...]:
    if count < 1:
        raise InputError("seeds", count, "1 or more", "Use 3.")
    return tuple(range(first, first + count))


def _is_finished(plan: Plan) -> bool:
    return all(
        collecting.is_finished(plan, method, seed)
        for method in plan.methods
        for seed in plan.seeds
    )


def _train_all(
    run: RunFolder, bench: Bench, isolate: bool, keep_outputs: bool
) -> Reasons:
    """Does all that is not done; returns why some of it failed."""
    attempts = Attempts(Trainings(bench), isolate)
    reasons: Reasons = {}
    total = len(bench.plan.seeds) * len(bench.plan.methods)
    begun = 0
    for seed in bench.plan.seeds:
        pending = [
            method
            for method in bench.plan.methods
            if not collecting.is_finished(bench.plan, method, seed)
        ]
        begun += len(bench.plan.methods) - len(pending)
        failed = _prepare(
            run,
            attempts,
            seed,
            [
                method
                for method in pending
                if not collecting.is_trained(bench.plan, method, seed)
            ],
        )
        for method in pending:
            begun += 1
            bench.echo(
                f"{method.name}, seed {seed}: training {begun} of {total}"
            )
            reason = failed.get(method) or attempts.reason(
                "student", seed, method.name
            )
            if reason is not None:
                reasons[method.name, seed] = reason
            # A killed session's time counts up to here.
            run.note("trainings_done", begun)
        if not keep_outputs:
            bench.outputs.forget(seed)
    return reasons


def _prepare(
    run: RunFolder, attempts: Attempts, seed: int, pending: list[Method]
) -> dict[Method, str]:
    """What several methods need; returns those that cannot have it."""
    failed: dict[Method, str] = {}
    for step, needs_it in (
        ("teacher_outputs", lambda method: bool(method.parts)),
        ("paraphraser", lambda method: method.has("ft")),
    ):
        waiting = [m for m in pending if needs_it(m) and m not in failed]
        if not waiting:
            continue
        started = time.monotonic()
        reason = attempts.reason(step, seed)
        if step == "teacher_outputs":
            name = "teacher_pass_seconds"
            before = run.content["notes"].get(name, 0.0)
            run.note(name, round(before + time.monotonic() - started, 1))
        if reason is not None:
            failed |= dict.fromkeys(waiting, f"{step}: {reason}")
    return failed
