"""Trains one student by several methods and says which is better.

The paper's table for your data: plain training (none), soft targets (kd),
attention transfer (at), FitNets (fitnet), Factor Transfer (ft) and sums of
these. With each seed all methods start from the same weights, see the same
batches for the same number of epochs and learn from one pass of the teacher.
Leaves comparison.json, two .csv files, methods.tex and report.html in the run
folder, and a run folder for each training in it. Started again it continues;
more methods or seeds may be asked for later, with the earlier ones named again.

examples:
  keras-ft compare --student=resnet8 --schedule=linear \\
      --paraphrase_epochs=10 --epochs=20
  keras-ft compare --dataset=cifar10 --teacher=resnet56.npz \\
      --student=resnet20 --methods=none,kd,ft,ft+kd --seeds=3 \\
      --schedule=linear --paraphrase_epochs=2 --epochs=4
"""

from typing import Any

from absl import flags

from keras_ft.cli import common
from keras_ft.cli import training
from keras_ft.errors import InputError

# Kept here as words, as in `common`.
METHODS = "none,kd,at,fitnet,ft,ft+kd,ft+at"
SCHEDULES = ("recipe", "linear")
TEACHER_PASSES = ("auto", "cache", "live")


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    training.define(values, "runs/compare")
    flags.DEFINE_list(
        "methods",
        METHODS,
        "What to compare, separated by commas; terms joined by + are added.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seeds",
        3,
        "Trainings of each method. One shows nothing; two show little.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_enum(
        "schedule",
        "recipe",
        SCHEDULES,
        "How learning rates fall: as in the recipe, or (linear) in a line to "
        "0, which suits a few epochs better.",
        flag_values=values,
    )
    _define_methods(values)
    flags.DEFINE_boolean(
        "export",
        True,
        "Make an int8 .tflite of every student and measure it.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "teacher_pass",
        "auto",
        TEACHER_PASSES,
        "Keep the teacher's outputs on disk, one seed at a time (cache), run "
        "it in every training (live), or cache where there is room (auto).",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "isolate",
        False,
        "Train in a process of its own each time: memory becomes comparable, "
        "and it takes about ten seconds more per training.",
        flag_values=values,
    )


def _define_methods(values: flags.FlagValues) -> None:
    for flag, default, text in (
        ("kd_temperature", 4.0, "Temperature of the soft targets."),
        (
            "kd_alpha",
            0.9,
            "Weight of soft targets, 0 to 1; labels get the rest.",
        ),
        ("at_beta", 1000.0, "Weight of each attention map's term."),
        ("fitnet_beta", 100.0, "Weight of the hint's term in FitNets."),
    ):
        flags.DEFINE_float(
            flag,
            default,
            text,
            lower_bound=0.0,
            flag_values=values,
        )


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Compare, report, tell."""
    training.check(values)
    with common.quiet_start():
        from keras_ft import report
        from keras_ft.experiments import comparison

    result = comparison.compare(
        values["run_dir"].value,
        methods=values["methods"].value,
        seeds=values["seeds"].value,
        method_settings=comparison.MethodSettings(
            **{
                name: values[name].value
                for name in (
                    "kd_temperature",
                    "kd_alpha",
                    "at_beta",
                    "fitnet_beta",
                )
            }
        ),
        export=values["export"].value,
        teacher_pass=values["teacher_pass"].value,
        isolate=values["isolate"].value,
        command_line=command_line,
        echo=common.echo,
        **training.settings(values) | {"recipe": _recipe(values)},
    )
    page = report.write_comparison(result.run_dir)
    common.echo("")
    common.echo(result.table())
    common.echo("")
    common.echo(_on_seconds(result.about))
    common.echo("")
    for sentence in result.verdicts():
        common.echo(sentence)
    common.echo(f"{page}  (comparison.json, .csv and .tex beside it)")
    _refuse_failures(result)


def _recipe(values: flags.FlagValues) -> Any:
    recipe = training.recipe(values)
    if values["schedule"].value == "recipe":
        return recipe
    return recipe.short(recipe.paraphrase.epochs, recipe.distil.epochs)


def _on_seconds(about: Any) -> str:
    words = "Seconds: the student's training + phase 1; "
    if about["teacher_pass"] == "live":
        return f"{words}the teacher ran in every training."
    passed = about["teacher_pass_seconds"]
    return f"{words}the teacher's pass took {passed:,.0f} more for all methods."


def _refuse_failures(result: Any) -> None:
    """Makes the exit code say that something failed."""
    if result.failures:
        first = result.failures[0]
        raise InputError(
            "methods",
            f"{len(result.failures)} trainings that failed, the first "
            f"{first.folder}: {first.reason}",
            "trainings that come to their end",
            "The others' results stand. The same command tries these again.",
        )
