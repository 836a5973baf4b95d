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

import math
from typing import Any

from absl import flags

from keras_ft.cli import common
from keras_ft.errors import InputError


def define(values: flags.FlagValues) -> None:
    """The command's flags."""
    define_training(values, "runs/distill")
    flags.DEFINE_boolean(
        "plan",
        False,
        "Measure a few steps of each phase, print parameters, operations, "
        "memory, cache size and time, online and cached, and stop. Nothing is "
        "written to --run_dir.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "beta_ratio",
        None,
        "With --beta=auto, which measures a beta on the first batch so that "
        "it suits any rate and layer: how many times as hard as the labels "
        "the factor pulls at the student's weights when training begins; by "
        f"default {common.BETA_RATIO:g}.",
        flag_values=values,
    )
    common.define_strategy(values)
    define_results(values, baselines="", quantization="none")


def define_training(values: flags.FlagValues, run_dir: str) -> None:
    """The flags of every command that distils a teacher of the user's."""
    common.define_run(values, run_dir)
    flags.DEFINE_string(
        "teacher",
        "fashion_mini",
        "A .keras file, the run folder of train_teacher, the name of a teacher "
        "that comes along, or the arrays (.npz) of a PyTorch ResNet for CIFAR, "
        "which get images normalized as ImageNet's.",
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
    common.define_acceleration(values)
    common.define_data(values)
    common.define_schedule(
        values,
        "Passes over the training images in phase 2, instead of the recipe's; "
        "its milestones move in proportion.",
    )
    _define_method(values)


def _define_method(values: flags.FlagValues) -> None:
    common.define_paraphrase_epochs(values)
    flags.DEFINE_float(
        "rate",
        None,
        "Channels of the factor per channel of the features (the paper's k), "
        "instead of the recipe's.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "beta",
        None,
        "Weight of the factor term, a number, instead of the recipe's.",
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
    beta_ratio = _beta_ratio(values)
    with common.quiet_start():
        from keras_ft import runs
        from keras_ft.cli import outcome

        if values["plan"].value and values["strategy"].value != "none":
            raise InputError(
                "--plan",
                f"it with --strategy={values['strategy'].value}",
                "--strategy=none",
                "One device is measured; leave --strategy out.",
            )
        # Before it waits for other machines.
        asked = runs.Settings(
            recipe=recipe(values),
            baselines=baselines,
            quantizations=quantizations,
            beta_ratio=beta_ratio,
            **settings(values),
        )
        placement = common.place(values)

    if values["plan"].value:
        print(runs.plan(asked))
        return
    metrics = runs.distil(
        values["run_dir"].value,
        asked,
        command_line,
        common.echo if placement.is_chief else common.silent,
        placement,
    )
    if placement.is_chief:
        outcome.tell(values, metrics, "student.keras")


def _beta_ratio(values: flags.FlagValues) -> float | None:
    """What `--beta=auto` aims at; nothing where beta is a number."""
    ratio: float | None = values["beta_ratio"].value
    if values["beta"].value == "auto":
        return common.BETA_RATIO if ratio is None else ratio
    if ratio is not None:
        raise InputError(
            "--beta_ratio", ratio, "it with --beta=auto", "Leave it out."
        )
    return None


def settings(values: flags.FlagValues) -> dict[str, Any]:
    """The flags of `define_training` that `runs.Settings` takes as they are."""
    names = (
        "dataset",
        "data_dir",
        "train_examples",
        "validation_fraction",
        "seed",
        "teacher",
        "student",
        "teacher_layer",
        "student_layer",
        "acceleration",
    )
    return {name: values[name].value for name in names}


def recipe(values: flags.FlagValues) -> Any:
    """The recipe with the flags of `define_training` put in."""
    from keras_ft.recipes import Recipe

    preset = Recipe.preset(values["recipe"].value)
    changes = {
        name: values[name].value
        for name in ("rate", "p")
        if values[name].value is not None
    }
    beta = _beta(values)
    if beta is not None:
        changes["beta"] = beta
    return common.with_schedules(preset.replace(**changes), values)


def _beta(values: flags.FlagValues) -> float | None:
    """--beta as a number; nothing where it is the recipe's or `auto`."""
    word = values["beta"].value
    takes_auto = "beta_ratio" in values
    if word is None or (takes_auto and word == "auto"):
        return None
    try:
        beta = float(word)
    except ValueError:
        beta = -1.0
    if not 0.0 <= beta < math.inf:
        raise InputError(
            "--beta",
            word,
            "a number of at least 0" + (", or auto" if takes_auto else ""),
            "Use auto."
            if takes_auto
            else "keras-ft distill --beta=auto measures one and prints it.",
        )
    return beta
