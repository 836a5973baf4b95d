"""Distils a teacher into a student by Factor Transfer.

Phase 1 trains a paraphraser on the teacher's features; phase 2 trains the
student on labels and factors. Leaves student.keras (plain Keras), .tflite
files, metrics.json and report.html in the run folder. Without --epochs the
schedules are the recipe's own, which on a few cores takes hours.

examples:
  keras-ft distill --teacher=runs/teacher --student=resnet8 \\
      --paraphrase_epochs=2 --epochs=6
  keras-ft distill --student=resnet20 --plan
  keras-ft distill --dataset=cifar10 --teacher=resnet56.keras \\
      --student=resnet20 --baselines=alone,kd --quantization=none,int8
  keras-ft distill --dataset=my_photos/ --teacher=teacher.keras \\
      --student=my_student.keras --teacher_layer=block5_conv3
"""

from absl import flags

from keras_ft.cli import common
from keras_ft.cli import training
from keras_ft.errors import InputError


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    training.define(values, "runs/distill")
    flags.DEFINE_boolean(
        "plan",
        False,
        "Measure a few steps of each phase, print parameters, operations, "
        "memory, cache size and time, online and cached, and stop. Nothing is "
        "written to --run_dir.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "views",
        None,
        "Run the teacher over so many differently augmented epochs once, and "
        "train from a feature cache of them, in the run folder while it is "
        "needed; by default the teacher runs in every step.",
        lower_bound=1,
        flag_values=values,
    )
    common.define_strategy(values)
    define_results(values, baselines="", quantization="none")


def define_results(
    values: flags.FlagValues, baselines: str, quantization: str
) -> None:
    """The flags that choose what to compare with and what to export."""
    flags.DEFINE_list(
        "baselines",
        baselines,
        "Train the same student otherwise, for comparison: alone (labels "
        "only), kd (labels and soft targets), or both.",
        flag_values=values,
    )
    flags.DEFINE_list(
        "quantization",
        quantization,
        "Formats of the .tflite files, separated by commas: "
        f"{', '.join(common.QUANTIZATIONS)}.",
        flag_values=values,
    )


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Distil, report, tell."""
    baselines = common.members(values, "baselines", common.BASELINES)
    quantizations = common.members(values, "quantization", common.QUANTIZATIONS)
    training.check(values)
    with common.quiet_start():
        from keras_ft import experiments
        from keras_ft.cli import outcome

        if values["plan"].value and values["strategy"].value != "none":
            raise InputError(
                "--plan",
                f"it with --strategy={values['strategy'].value}",
                "--strategy=none",
                "One device is measured; leave --strategy out.",
            )
        placement = common.place(values)

    settings = experiments.Settings(
        baselines=baselines,
        quantizations=quantizations,
        views=values["views"].value,
        **training.settings(values),
    )
    if values["plan"].value:
        print(experiments.plan(settings))
        return
    metrics = experiments.distil(
        values["run_dir"].value,
        settings,
        command_line,
        common.echo if placement.is_chief else common.silent,
        placement,
    )
    if placement.is_chief:
        outcome.tell(values, metrics, "student.keras")
