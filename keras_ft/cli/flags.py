"""Flags that several commands share, and what is made of them.

A flag means the same wherever it is defined, because it is defined here.
"""

import math
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from absl import flags

from keras_ft.errors import InputError
from keras_ft.export.quantizations import QUANTIZATIONS
from keras_ft.zoo import network_names

# Kept here as words, because importing the recipes imports Keras: --help must
# not take seconds. A test compares them.
RECIPES = ("official", "paper", "repdistiller", "torchdistill")
SCHEDULES = ("recipe", "linear")
STRATEGIES = ("none", "mirrored", "multi_worker")
ACCELERATIONS = ("auto", "none")
REDUCTIONS = ("mean", "sum", "relative")
PIXELS = ("raw", "0..1", "-1..1", "imagenet", "dataset")
AUGMENTATIONS = ("crop", "flip", "randaugment", "mixup", "cutmix")
TERMS = ("ft", "fitnet", "at", "kd", "skd", "dkd")
BETA_RATIO = 2.0
# The weights of the methods beside Factor Transfer: default and meaning.
WEIGHTS = {
    "kd_temperature": (4.0, "Temperature of the soft targets."),
    "kd_alpha": (
        0.9,
        "Weight of the soft targets in methods with kd, 0 to 1; labels get "
        "the rest.",
    ),
    "at_beta": (1000.0, "Weight of each attention map's term."),
    "fitnet_beta": (100.0, "Weight of the hint's term in FitNets."),
    "skd_temperature": (2.0, "Temperature of the soft targets on z-scores."),
    "skd_task_weight": (0.1, "Weight of the labels in methods with skd."),
    "skd_beta": (9.0, "Weight of the soft targets in methods with skd."),
    "dkd_temperature": (4.0, "Temperature of the decoupled soft targets."),
    "dkd_target_weight": (
        1.0,
        "Weight of the teacher's most probable class in methods with dkd.",
    ),
    "dkd_non_target_weight": (
        8.0,
        "Weight of the other classes in methods with dkd.",
    ),
}
# Those that `Settings` takes as they are.
_SETTINGS = (
    "dataset",
    "data_dir",
    "train_examples",
    "labelled_examples",
    "unlabelled",
    "labelled_share",
    "class_weights",
    "skip_unreadable",
    "validation_fraction",
    "seed",
    "teacher",
    "pixels",
    "student",
    "teacher_layer",
    "student_layer",
    "acceleration",
)


def define_run(values: flags.FlagValues, run_dir: str) -> None:
    """Define the flags of every command that makes a run folder."""
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
    """Define the flag that chooses the devices."""
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
    """Define the flag that chooses between speed and Keras' own path."""
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
    """Define the flags that choose images."""
    flags.DEFINE_string(
        "dataset",
        "fashion_mini",
        "fashion_mini (comes along), the name of a TensorFlow Datasets image "
        "classification set such as cifar10, or a folder with one folder of "
        "images per class.",
        flag_values=values,
    )
    define_data_dir(values)
    define_image_files(values)
    flags.DEFINE_float(
        "validation_fraction",
        0.1,
        "Share of the training images kept out of training and used to watch "
        "it.",
        lower_bound=0.0,
        upper_bound=0.99,
        flag_values=values,
    )
    define_train_examples(values)
    define_augment(values)
    define_class_weights(values)
    define_unlabelled(values)


def define_class_weights(values: flags.FlagValues) -> None:
    """Define the flag for classes of uneven size."""
    flags.DEFINE_enum(
        "class_weights",
        None,
        ("balanced",),
        "balanced lets labels of rare classes count more, so that all classes "
        "count alike; what the teacher teaches is weighed as before.",
        flag_values=values,
    )


def define_unlabelled(values: flags.FlagValues) -> None:
    """Define the flags that bring in images without labels."""
    flags.DEFINE_integer(
        "labelled_examples",
        None,
        "Keep the labels of only so many training images; the others are used "
        "without.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_string(
        "unlabelled",
        None,
        "More training images, without labels: a folder, or another split of "
        "the TensorFlow Datasets set. A folder's own unlabelled/ is found by "
        "itself.",
        flag_values=values,
    )
    flags.DEFINE_float(
        "labelled_share",
        None,
        "Part of each training batch that has labels, between 0 and 1; by "
        "default a quarter, or their part of all images if that is more.",
        lower_bound=0.0,
        upper_bound=1.0,
        flag_values=values,
    )


def define_data_dir(values: flags.FlagValues) -> None:
    """Define the flag that says where prepared datasets are."""
    flags.DEFINE_string(
        "data_dir",
        None,
        "Where TensorFlow Datasets keeps prepared sets.",
        flag_values=values,
    )


def define_image_files(values: flags.FlagValues) -> None:
    """Define the flags that say how image files are read."""
    flags.DEFINE_list(
        "image_size",
        None,
        "Resize all images to this height and width in pixels, as in 96,128, "
        "or to a square, as in 96. By default they keep their size.",
        flag_values=values,
    )
    flags.DEFINE_boolean(
        "skip_unreadable",
        False,
        "Go on without the files of a folder that are no whole images, and "
        "say which, instead of refusing them.",
        flag_values=values,
    )


def define_train_examples(values: flags.FlagValues) -> None:
    """Define the flag that makes a training smaller."""
    flags.DEFINE_integer(
        "train_examples",
        None,
        "Train on only so many images.",
        lower_bound=1,
        flag_values=values,
    )


def define_augment(values: flags.FlagValues) -> None:
    """Define the flag that says what is done to training images."""
    flags.DEFINE_string(
        "augment",
        None,
        "What is done to training images, anew each epoch and the same for "
        f"teacher and student: none, or some of {', '.join(AUGMENTATIONS)} "
        "joined by +; the last two mix labels as well. By default crop+flip, "
        "and crop for digits and letters, which a mirror changes.",
        flag_values=values,
    )


def define_networks(
    values: flags.FlagValues, teacher: str | None, student: str
) -> None:
    """Define the flags that choose teacher, student and their taps."""
    flags.DEFINE_string(
        "teacher",
        teacher,
        "A .keras file, the run folder of train_teacher, the name of a teacher "
        "that comes along, the arrays (.npz) of a PyTorch ResNet for CIFAR, "
        "which get images normalized as ImageNet's, or a name of "
        "keras.applications such as MobileNetV2, which is fitted to the labels "
        "first: its head, then all of it.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "pixels",
        None,
        PIXELS,
        "What the teacher takes pixels 0..255 as: as they are (raw), scaled, "
        "or normalized by ImageNet's or the dataset's mean and deviation. By "
        "default it is found: as noted when a run folder's teacher was "
        "trained, raw for a network that rescales inside, else by trying all "
        "on some labelled images. The student's is found likewise.",
        flag_values=values,
    )
    flags.DEFINE_string(
        "student",
        student,
        "Name of a network of the zoo or of keras.applications, such as "
        "MobileNetV3Small or MobileNetV2_0.35, or a .keras file to start from.",
        flag_values=values,
    )
    for side in ("teacher", "student"):
        flags.DEFINE_string(
            f"{side}_layer",
            None,
            f"Feature map of the {side}, by default its last learned one; "
            "`keras-ft taps` lists them.",
            flag_values=values,
        )


def define_weights_of_names(values: flags.FlagValues) -> None:
    """Define what networks of keras.applications start from."""
    flags.DEFINE_enum(
        "weights",
        "imagenet",
        ("imagenet", "none"),
        "What networks of keras.applications start from: the weights that "
        "Keras downloads, or fresh ones (none).",
        flag_values=values,
    )


def define_fine_tuning(values: flags.FlagValues) -> None:
    """Define how a teacher of keras.applications is fitted."""
    define_weights_of_names(values)
    for name, default, what in (
        ("head_epochs", 10, "the new head, all else frozen"),
        ("fine_tuning_epochs", 5, "all of it, after that"),
    ):
        flags.DEFINE_integer(
            name,
            None,
            "Passes over the labelled images that fit a teacher of "
            f"keras.applications: {what}. By default {default}, and more "
            "where they are few.",
            lower_bound=1,
            flag_values=values,
        )


def define_schedule(
    values: flags.FlagValues,
    epochs: str,
    *,
    schedule: str = "recipe",
    lengths: Iterable[tuple[str, int | None, str]] = (),
    default_epochs: int | None = None,
) -> None:
    """Define the flags that change a recipe's schedules.

    Args:
        values: Where to.
        epochs: What --epochs counts.
        schedule: Default of --schedule.
        lengths: Further flags of epochs: name, default, what they count.
        default_epochs: Default of --epochs; None for the recipe's.
    """
    flags.DEFINE_enum(
        "recipe",
        "official",
        RECIPES,
        "The published setting to start from.",
        flag_values=values,
    )
    flags.DEFINE_enum(
        "schedule",
        schedule,
        SCHEDULES,
        "How learning rates fall: as in the recipe, whose milestones move in "
        "proportion to the epochs, or (linear) in a line to 0, which suits a "
        "few epochs better.",
        flag_values=values,
    )
    for name, default, counted in (
        ("epochs", default_epochs, epochs),
        *lengths,
    ):
        flags.DEFINE_integer(
            name,
            default,
            f"Passes over the training images {counted}, instead of the "
            "recipe's.",
            lower_bound=1,
            flag_values=values,
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
        "At the first step, instead of the recipe's; phase 1 keeps its own.",
        lower_bound=0.0,
        flag_values=values,
    )


def define_paraphrase(
    values: flags.FlagValues, default_steps: int | None = None
) -> None:
    """Define the flags of phase 1's length.

    Args:
        values: Where to.
        default_steps: Default of --paraphrase_steps; None for the recipe's.
    """
    flags.DEFINE_integer(
        "paraphrase_steps",
        default_steps,
        "Length of phase 1 in steps, rounded up to whole epochs; by default "
        "at least as many as were published, as few passes over few images "
        "leave a paraphraser untrained."
        if default_steps is None
        else "Length of phase 1 in steps, rounded up to whole epochs.",
        lower_bound=1,
        flag_values=values,
    )
    flags.DEFINE_integer(
        "paraphrase_epochs",
        None,
        "Length of phase 1 in passes over the training images, whatever the "
        "steps.",
        lower_bound=1,
        flag_values=values,
    )


def define_reduction(values: flags.FlagValues) -> None:
    """Define how the factor's distance is taken over its entries."""
    flags.DEFINE_enum(
        "reduction",
        "mean",
        REDUCTIONS,
        "Of the factor's distance over its entries. Beta belongs to it: under "
        "mean, the recipe's, a larger factor pulls less hard at the student; "
        "under sum about as hard.",
        flag_values=values,
    )


def define_weights(values: flags.FlagValues) -> None:
    """Define the weights of all methods."""
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
        f"{BETA_RATIO:g}.",
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
    define_method_weights(values, WEIGHTS)


def define_method_weights(
    values: flags.FlagValues, names: Iterable[str]
) -> None:
    """Define some of the weights of the methods beside Factor Transfer."""
    for name in names:
        default, text = WEIGHTS[name]
        flags.DEFINE_float(
            name, default, text, lower_bound=0.0, flag_values=values
        )


def define_method(
    values: flags.FlagValues, method: str = "ft", baselines: str | None = None
) -> None:
    """Define the flags that choose how the student is trained."""
    flags.DEFINE_string(
        "method",
        method,
        "How the student is trained beside its labels: by Factor Transfer "
        "(ft), soft targets (kd), soft targets on z-scores (skd), decoupled "
        "soft targets (dkd), attention transfer (at), FitNets (fitnet), a sum "
        "such as ft+kd, or not at all (none).",
        flag_values=values,
    )
    if baselines is None:
        return
    flags.DEFINE_list(
        "baselines",
        baselines,
        "Further methods by which the same student is trained, for "
        "comparison, separated by commas; alone is another word for none, "
        "labels only.",
        flag_values=values,
    )


def define_quantization(values: flags.FlagValues, quantization: str) -> None:
    """Define the flag that chooses the `.tflite` files."""
    flags.DEFINE_list(
        "quantization",
        quantization,
        "Formats of the .tflite files, separated by commas: "
        f"{', '.join(QUANTIZATIONS)}.",
        flag_values=values,
    )


def weights(values: flags.FlagValues) -> str | None:
    """Return --weights as the settings take it."""
    word = values["weights"].value
    return None if word == "none" else str(word)


def fine_tuning(values: flags.FlagValues) -> dict[str, Any]:
    """Return what `define_fine_tuning` defined, as the settings take it."""
    names = ("head_epochs", "fine_tuning_epochs")
    return {
        "weights": weights(values),
        **{name: values[name].value for name in names},
    }


def check_networks(values: flags.FlagValues) -> None:
    """Refuse networks that are not there, before Keras is imported.

    A finished run has a copy of its networks: with one in --run_dir, files
    may be missing.
    """
    begun = (Path(values["run_dir"].value) / "run.json").is_file()
    for name in ("teacher", "student", "network"):
        if name in values and values[name].value is not None:
            network_names.check(name, values[name].value, missing_ok=begun)


def methods(values: flags.FlagValues) -> tuple[str, ...]:
    """Return --method and --baselines, each once."""
    words = [("method", values["method"].value)]
    if "baselines" in values:
        words += [("baselines", word) for word in values["baselines"].value]
    found = []
    for flag, word in words:
        name = "none" if word == "alone" else word
        parts = [] if name == "none" else name.split("+")
        if not set(parts) <= set(TERMS) or len(set(parts)) < len(parts):
            raise InputError(
                f"--{flag}",
                word,
                f"none, or some of {', '.join(TERMS)} joined by +",
                f"Write --{flag}=kd.",
            )
        found.append("+".join(t for t in TERMS if t in parts) or "none")
    return tuple(dict.fromkeys(found))


def quantizations(values: flags.FlagValues) -> tuple[str, ...]:
    """Return the words of --quantization, each checked and kept once."""
    words = tuple(dict.fromkeys(values["quantization"].value))
    for word in words:
        if word not in QUANTIZATIONS:
            raise InputError(
                "--quantization",
                word,
                f"some of {', '.join(QUANTIZATIONS)}, separated by commas",
                "Write --quantization=none.",
            )
    return words


def augment(values: flags.FlagValues) -> str | bool:
    """Return --augment as `data.load` takes it, where True is its default."""
    word = values["augment"].value
    return True if word is None else str(word)


def image_size(values: flags.FlagValues) -> tuple[int, int] | None:
    """Return --image_size as (height, width)."""
    words = values["image_size"].value
    if words is None:
        return None
    if len(words) > 2 or not all(w.isdecimal() and int(w) > 0 for w in words):
        raise InputError(
            "--image_size",
            ",".join(words),
            "height and width in pixels, or one number for both",
            "Write --image_size=96,128 or --image_size=96.",
        )
    return int(words[0]), int(words[-1])


def image_files(values: flags.FlagValues) -> dict[str, Any]:
    """Return what the flags say on image files, as `data.load` takes it."""
    return {
        "image_size": image_size(values),
        "skip_unreadable": values["skip_unreadable"].value,
    }


def check_reduction(values: flags.FlagValues, flag: str) -> None:
    """Refuse another reduction with the recipe's beta."""
    chosen = values["reduction"].value
    if chosen != "mean" and not values[flag].value:
        raise InputError(
            f"`--reduction={chosen}` needs a weight of its own in `--{flag}`: "
            "500 under mean, with 32x8x8 entries, is 0.244 under sum and 22.1 "
            "under relative."
        )


def beta(values: flags.FlagValues) -> tuple[float | None, float | None]:
    """Return --beta as a number, and the ratio where it is `auto`."""
    word, ratio = values["beta"].value, values["beta_ratio"].value
    if word == "auto":
        return None, BETA_RATIO if ratio is None else ratio
    if ratio is not None:
        raise InputError("`--beta_ratio` needs `--beta=auto`.")
    if word is None:
        return None, None
    try:
        number = float(word)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < math.inf:
        raise InputError(
            "--beta", word, "a number of at least 0, or auto", "Use auto."
        )
    return number, None


def recipe(values: flags.FlagValues) -> Any:
    """Return the recipe with all flags of schedules and weights put in."""
    from keras_ft.recipes import Recipe

    names = ("rate", "p", "reduction", *WEIGHTS)
    changes = {
        name: values[name].value
        for name in names
        if name in values and values[name].value is not None
    }
    if "beta" in values:
        number, _ = beta(values)
        if number is not None:
            changes["beta"] = number
    lengths = (
        "epochs",
        "paraphrase_epochs",
        "paraphrase_steps",
        "teacher_epochs",
    )
    others = ("batch_size", "learning_rate", "schedule")
    scheduled = {
        name: values[name].value
        for name in (*lengths, *others)
        if name in values and values[name].value is not None
    }
    if "paraphrase_epochs" in scheduled:
        if values["paraphrase_steps"].present:
            raise InputError(
                "`--paraphrase_epochs` and `--paraphrase_steps` are two "
                "lengths of phase 1: leave out one of them."
            )
        scheduled.pop("paraphrase_steps", None)
    preset = Recipe.preset(values["recipe"].value)
    return preset.replace(**changes).scheduled(**scheduled)


def settings(values: flags.FlagValues) -> dict[str, Any]:
    """Return what the flags say to `experiments.Settings`."""
    _, beta_ratio = beta(values)
    return {
        **{name: values[name].value for name in _SETTINGS},
        "augment": augment(values),
        "image_size": image_size(values),
        **fine_tuning(values),
        "recipe": recipe(values),
        "beta_ratio": beta_ratio,
    }
