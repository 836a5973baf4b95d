"""Flags of the commands that distil a teacher of the user's."""

import math
from typing import Any

from absl import flags

from keras_ft.cli import common
from keras_ft.errors import InputError

# Those that `experiments.Settings` takes as they are.
_SETTINGS = (
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


def define(values: flags.FlagValues, run_dir: str) -> None:
    """Networks, data, schedules and the factor's numbers."""
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
        "Weight of the factor term, a number, instead of the recipe's; auto "
        "measures one on the first batch, so that it suits any rate and layer.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "beta_ratio",
        None,
        "With --beta=auto: how many times as hard as the labels the factor "
        "pulls at the student's weights when training begins; by default "
        f"{common.BETA_RATIO:g}.",
        flag_values=values,
    )
    define_reduction(values)
    flags.DEFINE_integer(
        "p",
        None,
        "Norm of the factor term, 1 or 2, instead of the recipe's.",
        lower_bound=1,
        upper_bound=2,
        flag_values=values,
    )


def define_reduction(values: flags.FlagValues) -> None:
    """How the factor's distance is taken over its entries."""
    flags.DEFINE_enum(
        "reduction",
        "mean",
        common.REDUCTIONS,
        "Of the factor's distance over its entries. Beta belongs to it: under "
        "mean, the recipe's, a larger factor pulls less hard at the student; "
        "under sum about as hard.",
        flag_values=values,
    )


def check_reduction(values: flags.FlagValues, flag: str) -> None:
    """Refuses another reduction with the recipe's beta."""
    chosen = values["reduction"].value
    if chosen != "mean" and not values[flag].value:
        raise InputError(
            f"--{flag}",
            f"the recipe's with --reduction={chosen}",
            "a weight for this reduction",
            "500 under mean, with 32x8x8 entries, is 0.244 under sum and 22.1 "
            "under relative.",
        )


def check(values: flags.FlagValues) -> None:
    """Refuses what can be refused before Keras is imported."""
    _beta(values)
    check_reduction(values, "beta")


def settings(values: flags.FlagValues) -> dict[str, Any]:
    """What the flags say to `experiments.Settings`."""
    _, beta_ratio = _beta(values)
    return {
        **{name: values[name].value for name in _SETTINGS},
        "recipe": recipe(values),
        "beta_ratio": beta_ratio,
    }


def recipe(values: flags.FlagValues) -> Any:
    """The recipe with the flags put in."""
    from keras_ft.recipes import Recipe

    beta, _ = _beta(values)
    preset = Recipe.preset(values["recipe"].value)
    changes = {
        name: values[name].value
        for name in ("rate", "p", "reduction")
        if values[name].value is not None
    }
    if beta is not None:
        changes["beta"] = beta
    return common.with_schedules(preset.replace(**changes), values)


def _beta(values: flags.FlagValues) -> tuple[float | None, float | None]:
    """--beta as a number, and the ratio where it is `auto`."""
    word, ratio = values["beta"].value, values["beta_ratio"].value
    if word == "auto":
        return None, common.BETA_RATIO if ratio is None else ratio
    if ratio is not None:
        raise InputError(
            "--beta_ratio", ratio, "it with --beta=auto", "Leave it out."
        )
    if word is None:
        return None, None
    try:
        beta = float(word)
    except ValueError:
        beta = -1.0
    if not 0.0 <= beta < math.inf:
        raise InputError(
            "--beta", word, "a number of at least 0, or auto", "Use auto."
        )
    return beta, None
