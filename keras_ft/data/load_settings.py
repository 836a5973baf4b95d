"""The arguments of `load`, checked before anything is read."""

import dataclasses
import operator
from typing import Any

from keras_ft.data.normalization import Normalization
from keras_ft.errors import InputError

MAX_SEED = 2**63 - 1


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """The keyword arguments of `keras_ft.data.load`, see there.

    Raises:
        InputError: A value is out of its range.

    Example:

    >>> LoadSettings(batch_size=64, image_size=(64, 64)).seed
    0
    """

    batch_size: int = 128
    seed: int = 0
    augment: bool = True
    normalization: Normalization | None = None
    validation_fraction: float = 0.1
    image_size: tuple[int, int] | None = None
    train_examples: int | None = None
    drop_remainder: bool = False

    def batching(self, part: str) -> dict[str, Any]:
        """Return what the batches of a split are made with."""
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augment": self.augment and part == "train",
            "drop_remainder": self.drop_remainder and part == "train",
        }

    def __post_init__(self) -> None:
        _whole("batch_size", self.batch_size, 1, "Use batch_size=128.")
        _whole("seed", self.seed, 0, "Use seed=0.", MAX_SEED)
        if self.train_examples is not None:
            fix = "Leave it out to train on all images."
            _whole("train_examples", self.train_examples, 1, fix)
        if not 0 <= self.validation_fraction < 1:
            raise InputError(
                "validation_fraction",
                self.validation_fraction,
                "a number from 0 up to, but not including, 1",
                "Use validation_fraction=0.1.",
            )
        if self.image_size is not None:
            fix = "Use image_size=(height, width), for example (64, 64)."
            try:
                height, width = self.image_size
            except (TypeError, ValueError):
                raise InputError(
                    "image_size", self.image_size, "two whole numbers", fix
                ) from None
            _whole("image_size", height, 1, fix)
            _whole("image_size", width, 1, fix)
            # A list, as JSON gives it, is as good as a tuple.
            object.__setattr__(self, "image_size", (height, width))


def _whole(
    argument: str, value: Any, least: int, fix: str, most: int | None = None
) -> None:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or (most is not None and number > most):
        upper = "" if most is None else f" and at most {most}"
        raise InputError(
            argument, value, f"a whole number of at least {least}{upper}", fix
        )
