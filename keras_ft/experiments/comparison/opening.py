"""Begins a comparison, or one that has begun: what must be as it was."""

import dataclasses

from keras_ft.errors import InputError
from keras_ft.experiments.comparison import collecting
from keras_ft.experiments.comparison import start
from keras_ft.experiments.comparison.bench import Bench
from keras_ft.experiments.comparison.plan import Plan
from keras_ft.experiments.comparison.wrapping import check_methods
from keras_ft.experiments.phases import Phases
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.run_folder import RunFolder


def opened(run: RunFolder, plan: Plan, echo: Echo) -> Bench:
    """What the trainings share, once everything is known to fit.

    Args:
        run: The comparison's folder, entered.
        plan: What was asked for.
        echo: Takes lines of progress.

    Raises:
        InputError: Networks, methods and data do not fit each other, or not
            what the folder holds.
    """
    phases = Phases(run, plan.settings, echo)
    teacher, data = phases.teacher(), phases.bench.main_data
    bench = Bench(plan, teacher, data, echo)
    check_methods(bench)
    _check_test_images(run, bench)
    chosen = _teacher_pass(run, bench)
    run.note("teacher_pass", chosen)
    return Bench(
        dataclasses.replace(plan, teacher_pass=chosen), teacher, data, echo
    )


def _teacher_pass(run: RunFolder, bench: Bench) -> str:
    """Decided once: room on the disk must not change what has begun."""
    plan, kept = bench.plan, run.content["notes"].get("teacher_pass")
    if kept is None or not collecting.has_learned(plan):
        return bench.outputs.choice()
    if plan.teacher_pass not in ("auto", kept):
        raise InputError(
            "teacher_pass",
            f"{plan.teacher_pass!r} for a comparison whose students learned "
            f"with {kept!r}",
            "the same for all",
            f"Leave it out, use {kept!r}, or begin in another folder.",
        )
    return str(kept)


def _check_test_images(run: RunFolder, bench: Bench) -> None:
    found = start.test_images(bench.data)
    kept = run.content["notes"].get("test_images", found)
    if kept != found and collecting.has_trained(bench.plan):
        raise InputError(
            "dataset",
            "other test images than those that students of this comparison "
            "were measured on",
            "the same for all",
            "Bring the images back, or use another run_dir.",
        )
    run.note("test_images", found)
