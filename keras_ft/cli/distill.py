"""Distils a teacher into a student by Factor Transfer.

Phase 1 trains a paraphraser on the teacher's features; phase 2 trains the
student on labels and factors. Leaves student.keras (plain Keras), .tflite
files, metrics.json and report.html in the run folder. Without --epochs the
schedules are the recipe's own, which on a few cores takes hours.

examples:
  keras-ft distill --teacher=runs/teacher --student=resnet8 \\
      --paraphrase_epochs=2 --epochs=6
  keras-ft distill --dataset=cifar10 --teacher=resnet56.keras \\
      --student=resnet20 --baselines=alone,kd --quantization=none,int8
  keras-ft distill --dataset=my_photos/ --teacher=teacher.keras \\
      --student=my_student.keras --teacher_layer=block5_conv3
"""

from typing import Any

from absl import flags

from keras_ft.cli import common


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    common.define_run(values, "runs/distill")
    flags.DEFINE_string(
        "teacher",
        "fashion_mini",
        "A .keras file, the run folder of train_teacher, or the name of a "
        "teacher that comes along.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "student",
        "resnet20",
        "Name of a network of the zoo, or a .keras file to start from.",
        flag_values=values,
    )
    for side in ("teacher", "student"):
        flags.DEFINE_string(
            f"{side}_layer",
            None,
            f"Feature map of the {side}, by default its last spatial one; "
            "`keras-ft taps` lists them.",
            flag_values=values,
        )
    common.define_strategy(values)
    common.define_acceleration(values)
    common.define_data(values)
    common.define_schedule(
        values,
        "Passes over the training images in phase 2, instead of the recipe's; "
        "its milestones move in proportion.",
    )
    _define_method(values)
    define_results(values, baselines="", quantization="none")


def _define_method(values: flags.FlagValues) -> None:
    common.define_paraphrase_epochs(values)
    flags.DEFINE_float(
        "rate",
        None,
        "Channels of the factor per channel of the features (the paper's k), "
        "instead of the recipe's.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "beta",
        None,
        "Weight of the factor term, instead of the recipe's.",
        lower_bound=0.0,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "p",
        None,
        "Norm of the factor term, 1 or 2, instead of the recipe's.",
        lower_bound=1,
        upper_bound=2,
        flag_values=values,
    )


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
    with common.quiet_start():
        from keras_ft import runs
        from keras_ft.cli import outcome

        placement = common.place(values)

    settings = runs.Settings(
        recipe=_recipe(values),
        dataset=values["dataset"].value,
        data_dir=values["data_dir"].value,
        train_examples=values["train_examples"].value,
        validation_fraction=values["validation_fraction"].value,
        seed=values["seed"].value,
        teacher=values["teacher"].value,
        student=values["student"].value,
        teacher_layer=values["teacher_layer"].value,
        student_layer=values["student_layer"].value,
        baselines=baselines,
        quantizations=quantizations,
        acceleration=values["acceleration"].value,
    )
    metrics = runs.distil(
        values["run_dir"].value,
        settings,
        command_line,
        common.echo if placement.is_chief else common.silent,
        placement,
    )
    if placement.is_chief:
        outcome.tell(values, metrics, "student.keras")


def _recipe(values: flags.FlagValues) -> Any:
    from keras_ft.recipes import Recipe

    recipe = Recipe.preset(values["recipe"].value)
    changes = {
        name: values[name].value
        for name in ("rate", "beta", "p")
        if values[name].value is not None
    }
    return common.with_schedules(recipe.replace(**changes), values)
