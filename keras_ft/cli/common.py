"""Flags, and moves after parsing, that several commands share."""

import contextlib
import os
from collections.abc import Iterator
from typing import Any

from absl import flags

from keras_ft.errors import InputError

# Kept here as words, because importing the recipes imports Keras: --help must
# not take seconds. A test compares them.
RECIPES = ("official", "paper", "repdistiller", "torchdistill")
QUANTIZATIONS = (
    "none",
    "float16",
    "dynamic",
    "int8",
    "int8_io",
    "dynamic_wi8",
    "dynamic_wi4",
)
COMPRESSIONS = ("prune", "cluster", "qat", "pqat", "cqat", "pcqat")
BASELINES = ("alone", "kd")
STRATEGIES = ("none", "mirrored", "multi_worker")
ACCELERATIONS = ("auto", "none")
REDUCTIONS = ("mean", "sum", "relative")
BETA_RATIO = 2.0


def define_run(values: flags.FlagValues, run_dir: str) -> None:
    """The flags of every command that makes a run folder."""
    flags.DEFINE_string(
        "run_dir",
        run_dir,
        "Folder for everything the run makes. Run the command again with the "
        "same folder to continue.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "seed",
        0,
        "Of initial weights, order and augmentation.",
        lower_bound=0,
        flag_values=values,
    )


def define_strategy(values: flags.FlagValues) -> None:
    """The flag that chooses the devices."""
    flags.DEFINE_enum(
        "strategy",
        "none",
        STRATEGIES,
        "Where to train: on one device (none), on all GPUs of this machine "
        "(mirrored), or on all machines of the cluster in TF_CONFIG "
        "(multi_worker; run the same command on each of them, with a "
        "--run_dir that all of them reach). A batch is shared out.",
        flag_values=values,
    )


def define_acceleration(values: flags.FlagValues) -> None:
    """The flag that chooses between speed and Keras' own path."""
    flags.DEFINE_enum(
        "acceleration",
        "auto",
        ACCELERATIONS,
        "auto computes the teacher and the student's batch normalization "
        "faster where this processor gains from it; none is Keras' own path, "
        "bit for bit.",
        flag_values=values,
    )


def define_data(values: flags.FlagValues) -> None:
    """The flags that choose images."""
    flags.DEFINE_string(
        "dataset",
        "fashion_mini",
        "fashion_mini (comes along), the name of a TensorFlow Datasets image "
        "classification set such as cifar10, or a folder with one folder of "
        "images per class.",
        flag_values=values,
    )
    define_data_dir(values)
    flags.DEFINE_float(
        "validation_fraction",
        0.1,
        "Share of the training images kept out of training and used to watch "
        "it.",
        lower_bound=0.0,
        upper_bound=0.99,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "train_examples",
        None,
        "Train on only so many images.",
        lower_bound=1,
        flag_values=values,
    )


def define_data_dir(values: flags.FlagValues) -> None:
    """The flag that says where prepared datasets are."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Where TensorFlow Datasets keeps prepared sets.",
        flag_values=values,
    )


def define_schedule(values: flags.FlagValues, epochs: str) -> None:
    """The flags that change a recipe's schedule."""
    flags.DEFINE_enum(
        "recipe",
        "official",
        RECIPES,
        "The published setting to start from.",
        flag_values=values,
    )
    flags.DEFINE_integer(
        "epochs", None, epochs, lower_bound=1, flag_values=values
    )
    flags.DEFINE_integer(
        "batch_size",
        None,
        "Images per step, instead of the recipe's.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_float(
        "learning_rate",
        None,
        "At the first step, instead of the recipe's.",
        lower_bound=0.0,
        flag_values=values,
    )


def define_paraphrase_epochs(values: flags.FlagValues) -> None:
    """The flag of phase 1's length."""
    flags.DEFINE_integer(
        "paraphrase_epochs",
        None,
        "Passes over the training images in phase 1, instead of the recipe's.",
        lower_bound=1,
        flag_values=values,
    )


def with_schedules(recipe: Any, values: flags.FlagValues) -> Any:
    """A recipe with the flags of both phases' schedules put in."""
    import dataclasses

    paraphrase = recipe.paraphrase
    if values["batch_size"].value is not None:
        paraphrase = dataclasses.replace(
            paraphrase, batch_size=values["batch_size"].value
        )
    if values["paraphrase_epochs"].value is not None:
        paraphrase = paraphrase.with_epochs(values["paraphrase_epochs"].value)
    distil = changed(recipe.distil, values, epochs=True)
    return recipe.replace(paraphrase=paraphrase, distil=distil)


def changed(schedule: Any, values: flags.FlagValues, epochs: bool) -> Any:
    """A schedule with --epochs, --batch_size and --learning_rate put in."""
    import dataclasses

    changes = {
        name: values[name].value
        for name in ("batch_size", "learning_rate")
        if values[name].value is not None
    }
    schedule = dataclasses.replace(schedule, **changes)
    if epochs and values["epochs"].value is not None:
        schedule = schedule.with_epochs(values["epochs"].value)
    return schedule


def members(
    values: flags.FlagValues, flag: str, known: tuple[str, ...]
) -> tuple[str, ...]:
    """The words of a list flag, each checked and kept once."""
    words = tuple(dict.fromkeys(values[flag].value))
    for word in words:
        if word not in known:
            raise InputError(
                f"--{flag}",
                word,
                f"some of {', '.join(known)}, separated by commas",
                f"Write --{flag}={known[0]}.",
            )
    return words


@contextlib.contextmanager
def quiet_start() -> Iterator[None]:
    """Keeps TensorFlow from talking to the terminal while it starts.

    Its first lines come from C++ before any log level is read, so standard
    error itself goes elsewhere for that moment. Exceptions pass.
    """
    kept = os.dup(2)
    void = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(void, 2)
        yield
        import keras

        # The first operation looks for devices and says what it misses.
        keras.ops.zeros(())
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(void)


def place(values: flags.FlagValues) -> Any:
    """The run's `Placement`; call it before anything of TensorFlow runs."""
    from keras_ft import experiments

    name = values["strategy"].value
    if name == "multi_worker":
        echo("waiting for all workers of TF_CONFIG")
    return experiments.Placement(name)


def echo(line: str) -> None:
    """Print a line of progress at once, also into a pipe."""
    print(line, flush=True)


def silent(line: str) -> None:
    """The `echo` of workers other than the chief."""
