"""Distills a teacher into a student by Factor Transfer, or another method.

Phase 1 trains a paraphraser on the teacher's features; phase 2 trains the
student on labels and factors. --method=ft+kd adds soft targets, and so on for
every sum of ft, at, fitnet and one of kd, skd and dkd. Leaves student.keras
(plain Keras), .tflite files, metrics.json and report.html in the run folder.
Without --epochs the schedules are the recipe's own, which on a few cores takes
hours.

examples:
  keras-ft distill --teacher=runs/teacher --student=resnet8 \\
      --paraphrase_epochs=2 --epochs=6
  keras-ft distill --student=resnet20 --plan
  keras-ft distill --dataset=cifar10 --teacher=resnet56.keras \\
      --student=resnet20 --method=ft+kd --baselines=none,kd \\
      --quantization=none,int8
  keras-ft distill --dataset=my_photos/ --teacher=teacher.keras \\
      --student=my_student.keras --teacher_layer=block5_conv3
"""

from absl import flags as absl_flags

from keras_ft.cli import flags
from keras_ft.cli import terminal
from keras_ft.errors import InputError


def define(values: absl_flags.FlagValues) -> None:
    """Define the command's flags."""
    flags.define_run(values, "runs/distill")
    flags.define_networks(values, "fashion_mini", "resnet20")
    flags.define_fine_tuning(values)
    flags.define_acceleration(values)
    flags.define_data(values)
    flags.define_method(values, baselines="")
    flags.define_schedule(values, "in phase 2")
    flags.define_paraphrase(values)
    flags.define_weights(values)
    absl_flags.DEFINE_boolean(
        "plan",
        False,
        "Measure a few steps of each phase, print parameters, operations, "
        "memory, cache size and time, online and cached, and stop. Nothing is "
        "written to --run_dir.",
        flag_values=values,
    )
    absl_flags.DEFINE_integer(
        "views",
        None,
        "Run the teacher over so many differently augmented epochs once, and "
        "train from a feature cache of them, in the run folder while it is "
        "needed; by default the teacher runs in every step.",
        lower_bound=1,
        flag_values=values,
    )
    flags.define_strategy(values)
    flags.define_quantization(values, "none")


def run(values: absl_flags.FlagValues, command_line: list[str]) -> None:
    """Distill, report, tell."""
    methods, quantizations = flags.methods(values), flags.quantizations(values)
    flags.check_networks(values)
    flags.image_size(values)
    flags.beta(values)
    flags.check_reduction(values, "beta")
    strategy = values["strategy"].value
    if values["plan"].value and strategy != "none":
        raise InputError(
            f"`--plan` measures one device, not `--strategy={strategy}`; write "
            "--strategy=none or leave it out."
        )
    with terminal.quiet_start():
        from keras_ft import experiments

        placement = terminal.place(values)

    settings = experiments.Settings(
        methods=methods,
        quantizations=quantizations,
        views=values["views"].value,
        **flags.settings(values),
    )
    if values["plan"].value:
        print(experiments.plan(settings))
        return
    metrics = experiments.distill(
        values["run_dir"].value,
        settings,
        command_line,
        terminal.echo if placement.is_chief else terminal.silent,
        placement,
    )
    if placement.is_chief:
        terminal.tell_run(values, metrics, "student.keras")
