"""The arguments of `load`, checked before anything is read."""

import dataclasses
from typing import Any

from keras_ft.data import augmentation
from keras_ft.data.normalization import Normalization
from keras_ft.errors import InputError
from keras_ft.validation import parameters
from keras_ft.validation.parameters import Interval

BALANCED = "balanced"
_CONSTRAINTS = {
    "batch_size": Interval(int, 1, fix="Use batch_size=128."),
    "seed": Interval(int, 0, 2**63 - 1, fix="Use seed=0."),
    "validation_fraction": Interval(
        float, 0, 1, closed="left", fix="Use validation_fraction=0.1."
    ),
    "train_examples": Interval(
        int, 1, optional=True, fix="Leave it out to train on all images."
    ),
    "labelled_examples": Interval(
        int, 1, optional=True, fix="Leave it out to use all labels."
    ),
    "labelled_share": Interval(
        float,
        0,
        1,
        closed="neither",
        optional=True,
        fix="Use 0.25, a quarter of each batch.",
    ),
}
_SIDE = Interval(
    int, 1, fix="Use image_size=(height, width), for example (64, 64)."
)


def resolve_image_size(image_size: Any) -> tuple[int, int] | None:
    """Return (height, width); one number is both of them.

    Args:
        image_size: One whole number of pixels, or two, height first, in a
            tuple or a list, as JSON gives it; `None` for "as they are".

    Raises:
        InputError: It is something else.
    """
    if image_size is None:
        return None
    try:
        height, width = (
            (image_size, image_size)
            if isinstance(image_size, int)
            else image_size
        )
    except (TypeError, ValueError):
        raise InputError(
            "image_size",
            image_size,
            "one whole number of pixels, or height and width",
            _SIDE.fix,
        ) from None
    _SIDE.check("image_size", height)
    _SIDE.check("image_size", width)
    return height, width


@dataclasses.dataclass(frozen=True)
class LoadSettings:
    """The keyword arguments of `keras_ft.data.load`, see there.

    `augment` is what `augmentation.resolve` made of it.

    Raises:
        InputError: A value is out of its range.
    """

    batch_size: int = 128
    seed: int = 0
    augment: str = augmentation.PHOTOS
    normalization: Normalization | None = None
    validation_fraction: float = 0.1
    image_size: tuple[int, int] | None = None
    train_examples: int | None = None
    labelled_examples: int | None = None
    unlabelled: str | None = None
    labelled_share: float | None = None
    class_weights: str | None = None
    skip_unreadable: bool = False
    drop_remainder: bool = False

    def __post_init__(self) -> None:
        parameters.check(_CONSTRAINTS, vars(self))
        if augmentation.mixes(self.augment) and self.batch_size < 2:
            raise InputError(
                "batch_size",
                self.batch_size,
                f"2 or more with augment='{self.augment}', which mixes images "
                "of a batch",
                "Use batch_size=128.",
            )
        if self.class_weights not in (None, BALANCED):
            raise InputError(
                "class_weights",
                repr(self.class_weights),
                f"'{BALANCED}' or None",
                f"Use '{BALANCED}' to let all classes count alike.",
            )
        size = resolve_image_size(self.image_size)
        object.__setattr__(self, "image_size", size)

    def labelled_per_batch(self, labelled: int, images: int) -> int:
        """Return how many images of a training batch have labels.

        The `labelled_share` of a batch; by default a quarter, or the labelled
        images' share of all where that is more.

        Raises:
            InputError: The share leaves no image of either kind.
        """
        share = self.labelled_share
        if share is None:
            share = max(0.25, labelled / images)
        count = round(share * self.batch_size)
        if not 0 < count < self.batch_size:
            raise InputError(
                "labelled_share",
                f"{share:g} of a batch of {self.batch_size}",
                "a share that leaves images with labels and without in every "
                "batch",
                "Use a larger batch_size, or labelled_share=0.25.",
            )
        return count

    def batching(self, part: str, classes: int) -> dict[str, Any]:
        """Return what the batches of a split are made with.

        Args:
            part: "train", "validation" or "test".
            classes: How many there are.
        """
        train = part == "train"
        return {
            "batch_size": self.batch_size,
            "seed": self.seed,
            "augment": self.augment if train else augmentation.NONE,
            # Of all parts alike: a model's loss and metrics are for one kind.
            "one_hot": classes if augmentation.mixes(self.augment) else None,
            "drop_remainder": self.drop_remainder and train,
        }
