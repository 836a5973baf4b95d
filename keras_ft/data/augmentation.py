"""Names of augmentations, and which one a data set gets by default.

What they do to a batch is in `augment`, `randaugment` and `mixing`, which
need TensorFlow; names are also read where there is none.
"""

from collections.abc import Mapping
from typing import Any

from keras_ft.errors import InputError

NONE = "none"
MIXING = ("mixup", "cutmix")
# Also the order in which they are applied and written.
STEPS = ("crop", "flip", "randaugment", *MIXING)
PHOTOS, CHARACTERS = "crop+flip", "crop"
# A mirrored digit or letter is another one, or none. Names of TFDS.
_OF_CHARACTERS = frozenset(
    {
        "binary_alpha_digits",
        "cmaterdb",
        "emnist",
        "kmnist",
        "mnist",
        "mnist_corrupted",
        "omniglot",
        "svhn_cropped",
    }
)


def default(dataset: str) -> str:
    """Return the augmentation of a data set that asks for none by name.

    Args:
        dataset: What `load` was asked for; of "emnist/letters" the part
            before the slash counts.

    Returns:
        "crop" for digits and letters, else "crop+flip".
    """
    name = dataset.partition("/")[0].partition(":")[0]
    return CHARACTERS if name in _OF_CHARACTERS else PHOTOS


def resolve(augment: str | bool, dataset: str) -> str:
    """Return the one way to write an augmentation.

    Args:
        augment: `True` for the data set's default, `False` or "none" for
            none, or some of `STEPS` joined by "+", in any order.
        dataset: What `load` was asked for.

    Returns:
        "none", or the steps in the order of `STEPS`, as in "crop+flip".

    Raises:
        InputError: A step is unknown or named twice.
    """
    if augment is True:
        return default(dataset)
    if augment is False or augment == NONE:
        return NONE
    named = augment.split("+") if isinstance(augment, str) else []
    if not named or set(named) - set(STEPS) or len(set(named)) < len(named):
        raise InputError(
            "augment",
            repr(augment),
            f"none, or some of {', '.join(STEPS)} joined by +, each once",
            f"Use '{PHOTOS}' for photographs, '{CHARACTERS}' for digits.",
        )
    return "+".join(step for step in STEPS if step in named)


def steps(augment: str) -> tuple[str, ...]:
    """Return the steps of what `resolve` returned."""
    return () if augment == NONE else tuple(augment.split("+"))


def in_configuration(configuration: dict[str, Any]) -> dict[str, Any]:
    """Return the configuration of a run, without what always was.

    Earlier versions augmented every data set as photographs and noted
    nothing: their run folders go on where that is still asked for, and
    differ by name where it is not.
    """
    if configuration["augment"] != PHOTOS:
        return configuration
    return {n: v for n, v in configuration.items() if n != "augment"}


def of_configuration(configuration: Mapping[str, Any]) -> str:
    """Return the augmentation that `in_configuration` noted."""
    augment: str = configuration.get("augment", PHOTOS)
    return augment


def mixes(augment: str) -> bool:
    """Return whether images, and with them labels, are mixed in pairs."""
    return any(step in MIXING for step in steps(augment))
