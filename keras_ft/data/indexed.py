"""Data whose images can be reached by number: in memory or single files."""

import numpy as np

from keras_ft.data import pipeline
from keras_ft.data import split as splitting
from keras_ft.data.dataset import ImageData
from keras_ft.data.normalization import Normalization
from keras_ft.data.settings import Settings
from keras_ft.errors import InputError

STATISTICS_EXAMPLES = 60_000
BLOCK = 512
PARTS = ("train", "validation", "test")


def image_data(
    name: str,
    splits: splitting.Splits,
    class_names: tuple[str, ...],
    settings: Settings,
    known: Normalization | None = None,
) -> ImageData:
    """Pipelines over splits of numbered images.

    Args:
        name: Shown to the user.
        splits: The source's own splits, "train" among them.
        class_names: One per label.
        settings: What `load` was asked for.
        known: The data set's usual normalization; computed if `None`.

    Returns:
        The finished `ImageData`.
    """
    for split, members in splits.items():
        if len(members) == 0:
            raise InputError(
                "name", name, f"images in its {split} split", "Add images."
            )
    train = splits["train"]
    shape = train.images(np.arange(1)).shape[1:]
    normalization = settings.normalization or known or statistics(train)
    check_channels(normalization, shape[-1])
    parts, notes = splitting.divide(splits, settings)
    batches = {
        part: _batches(parts[part], shape, normalization, settings, part)
        for part in PARTS
    }
    check_steps(batches["train"].steps, len(parts["train"]), settings)

    def choose(
        part: str, count: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        draw = np.random.default_rng(seed)
        chosen = draw.permutation(len(parts[part]))[:count]
        return parts[part].images(chosen), parts[part].labels[chosen]

    return ImageData(
        name=name,
        train=batches["train"].shuffled(),
        validation=batches["validation"].ordered(),
        test=batches["test"].ordered(),
        steps_per_epoch=batches["train"].steps,
        class_names=class_names,
        input_shape=shape,
        normalization=normalization,
        sizes={part: len(parts[part]) for part in PARTS},
        notes=notes,
        _stream=batches["train"].stream,
        _choose=choose,
    )


def _batches(
    members: splitting.Split,
    shape: tuple[int, int, int],
    normalization: Normalization,
    settings: Settings,
    part: str,
) -> pipeline.Batches:
    return pipeline.Batches(
        fetch=members.fetch,
        labels=members.labels,
        image_shape=shape,
        normalization=normalization,
        batch_size=settings.batch_size,
        seed=settings.seed,
        augment=settings.augment,
        drop_remainder=settings.drop_remainder and part == "train",
        positions=members.positions,
    )


def statistics(train: splitting.Split) -> Normalization:
    """Mean and deviation of the source's training images.

    Taken before anything is cut from them, so that they depend on no seed
    and a teacher and its student agree. Of more than 60,000 images every
    n-th counts.
    """
    stride = -(-len(train) // STATISTICS_EXAMPLES)
    chosen = np.arange(0, len(train), stride)
    blocks = np.array_split(chosen, -(-len(chosen) // BLOCK))
    return Normalization.of(train.images(block) for block in blocks)


def check_channels(normalization: Normalization, channels: int) -> None:
    """Refuses a normalization made for other images."""
    for numbers in (normalization.mean, normalization.std):
        if len(numbers) != channels:
            raise InputError(
                "normalization",
                normalization,
                f"one mean and one std for each of {channels} channels",
                "Leave it out to have it computed.",
            )


def check_steps(steps: int, count: int, settings: Settings) -> None:
    """Refuses an epoch without a batch."""
    if steps == 0:
        raise InputError(
            "batch_size",
            settings.batch_size,
            f"at most {count}, the number of training images, as "
            "drop_remainder leaves out a smaller batch",
            "Use a smaller batch_size.",
        )
