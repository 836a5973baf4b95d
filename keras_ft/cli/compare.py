"""Trains one student by several methods and says which is better.

The paper's table for your data: plain training (none), soft targets (kd),
attention transfer (at), FitNets (fitnet), Factor Transfer (ft) and sums of
these; on request soft targets on z-scores (skd) and decoupled ones (dkd).
With each seed all methods start from the same weights, see the same batches
for the same number of epochs and learn from one pass of the teacher. Leaves
comparison.json, two .csv files, methods.tex and report.html in the run
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

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.errors import InputError

# Kept here as words, as in `flags`.
METHODS = "none,kd,at,fitnet,ft,ft+kd,ft+at"
TEACHER_PASSES = ("auto", "cache", "live")


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.define_run(values, "runs/compare")
    flags.define_networks(values, "fashion_mini", "resnet20")
    flags.define_fine_tuning(values)
    flags.define_acceleration(values)
    flags.define_data(values)
    absl_flags.DEFINE_list(
        "methods",
        METHODS,
        "What to compare, separated by commas; terms joined by + are added.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "seeds",
        3,
        "Trainings of each method. One shows nothing; two show little.",
        lower_bound=1,
        flag_values=values,
    )
    flags.define_schedule(values, "for each student")
    flags.define_paraphrase(values)
    flags.define_weights(values)
    absl_flags.DEFINE_boolean(
        "export",
        True,
        "Make an int8 .tflite of every student and measure it.",
        flag_values=values,
    )
    absl_flags.DEFINE_enum(
        "teacher_pass",
        "auto",
        TEACHER_PASSES,
        "Keep the teacher's outputs on disk, one seed at a time (cache), run "
        "it in every training (live), or cache where there is room (auto).",
        flag_values=values,
    )
    absl_flags.DEFINE_boolean(
        "isolate",
        False,
        "Train in a process of its own each time: memory becomes comparable, "
        "and it takes about ten seconds more per training.",
        flag_values=values,
    )


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Compare, report, tell."""
    flags.check_networks(values)
    flags.image_size(values)
    flags.beta(values)
    flags.check_reduction(values, "beta")
    with terminal.quiet_start():
        from keras_ft import report
        from keras_ft.experiments import comparison

    result = comparison.compare(
        values["run_dir"].value,
        methods=values["methods"].value,
        seeds=values["seeds"].value,
        export=values["export"].value,
        teacher_pass=values["teacher_pass"].value,
        isolate=values["isolate"].value,
        command_line=command_line,
        echo=terminal.echo,
        **flags.settings(values),
    )
    page = report.write_comparison(result.run_dir)
    terminal.echo("")
    terminal.echo(result.table())
    terminal.echo("")
    terminal.echo(_on_seconds(result.about))
    terminal.echo("")
    for sentence in result.verdicts():
        terminal.echo(sentence)
    terminal.echo(f"{page}  (comparison.json, .csv and .tex beside it)")
    if result.failures:
        # The exit code says that something failed.
        first = result.failures[0]
        raise InputError(
            "methods",
            f"{len(result.failures)} trainings that failed, the first "
            f"{first.folder}: {first.reason}",
            "trainings that come to their end",
            "The others' results stand. The same command tries these again.",
        )


def _on_seconds(about: Any) -> str:
    words = "Seconds: the student's training + phase 1; "
    if about["teacher_pass"] == "live":
        return f"{words}the teacher ran in every training."
    passed = about["teacher_pass_seconds"]
    return f"{words}the teacher's pass took {passed:,.0f} more for all methods."
