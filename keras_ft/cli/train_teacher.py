"""Trains a network to distil from.

Leaves teacher.keras, metrics.json and report.html in the run folder; give that
folder to `keras-ft distill --teacher=...`. Without --epochs the schedule is
the recipe's own, which on a few cores takes hours.

examples:
  keras-ft train_teacher --network=resnet20 --epochs=10
  keras-ft train_teacher --dataset=cifar10 --network=resnet56 \\
      --run_dir=runs/resnet56
"""

from absl import flags

from keras_ft.cli import common


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    common.define_run(values, "runs/teacher")
    flags.DEFINE_string(
        "network",
        "resnet20",
        "Name of a network of the zoo, such as resnet56, wrn40_2 or vgg13.",
        flag_values=values,
    )
    common.define_strategy(values)
    common.define_data(values)
    common.define_schedule(
        values, "Passes over the training images, instead of the recipe's."
    )


def run(values: flags.FlagValues, command_line: list[str]) -> None:
    """Train, report, tell."""
    with common.quiet_start():
        from keras_ft import experiments
        from keras_ft.cli import outcome
        from keras_ft.recipes import Recipe

        placement = common.place(values)
    recipe = Recipe.preset(values["recipe"].value)
    teacher = common.changed(recipe.teacher, values, epochs=True)
    settings = experiments.Settings(
        recipe=recipe.replace(teacher=teacher),
        dataset=values["dataset"].value,
        data_dir=values["data_dir"].value,
        train_examples=values["train_examples"].value,
        validation_fraction=values["validation_fraction"].value,
        seed=values["seed"].value,
        teacher_network=values["network"].value,
    )
    metrics = experiments.train_teacher(
        values["run_dir"].value,
        settings,
        command_line,
        common.echo if placement.is_chief else common.silent,
        placement,
    )
    if placement.is_chief:
        outcome.tell(values, metrics, "teacher.keras")
