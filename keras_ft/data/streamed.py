"""Data too large for memory, read from a TFDS set anew every epoch."""

from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.data import indexed
from keras_ft.data import pipeline
from keras_ft.data.augment import pad_crop_flip
from keras_ft.data.dataset import ImageData
from keras_ft.data.normalization import Normalization
from keras_ft.data.settings import Settings
from keras_ft.data.tfds_set import TfdsSet
from keras_ft.errors import InputError

SHUFFLE_BYTES = 2**30
STATISTICS_EXAMPLES = 2_000


def image_data(
    name: str, source: TfdsSet, settings: Settings, known: Normalization | None
) -> ImageData:
    """Pipelines over a TFDS set that stays on disk.

    Differences from data in memory: an epoch is shuffled within a buffer of
    at most 1 GiB; validation is the end of the source's train split, not a
    stratified draw from it (TFDS stores examples in random order); statistics
    are those of the first 2,000 images.
    """
    parts, sizes = _parts(source, settings)
    normalization = settings.normalization or known
    if normalization is None:
        some = source.dataset("train").take(STATISTICS_EXAMPLES)
        blocks = (image.numpy()[None] for image, _ in some)
        normalization = Normalization.of(blocks)
    indexed.check_channels(normalization, source.input_shape[-1])
    stream = _Stream(source, parts, sizes["train"], settings, normalization)
    indexed.check_steps(stream.steps, sizes["train"], settings)
    return ImageData(
        name=name,
        train=stream.shuffled(),
        validation=stream.ordered("validation"),
        test=stream.ordered("test"),
        steps_per_epoch=stream.steps,
        class_names=source.class_names,
        input_shape=source.input_shape,
        normalization=normalization,
        sizes=sizes,
        notes=(
            "Streamed from disk: validation and few-example subsets, where "
            "the source has none, are consecutive parts of its train split.",
        ),
        _stream=stream.endless,
        _choose=stream.choose,
    )


def _parts(
    source: TfdsSet, settings: Settings
) -> tuple[dict[str, str], dict[str, int]]:
    """TFDS instructions and sizes of train, validation and test."""
    sizes = dict(source.sizes)
    parts = {split: split for split in sizes}
    if "test" not in parts and "validation" in parts:
        parts["test"], sizes["test"] = "validation", sizes.pop("validation")
        del parts["validation"]
    first, last = 0, sizes["train"]
    held = round(last * settings.validation_fraction)
    if "test" not in parts:
        parts["test"], sizes["test"] = f"train[:{held}]", held
        first = held
    if "validation" not in parts and held == 0:
        parts["validation"] = parts["test"]
        sizes["validation"] = sizes["test"]
    elif "validation" not in parts:
        parts["validation"] = f"train[{last - held}:]"
        sizes["validation"] = held
        last -= held
    count = settings.train_examples or last - first
    if min(sizes["test"], count) < 1 or count > last - first:
        raise InputError(
            "train_examples or validation_fraction",
            (settings.train_examples, settings.validation_fraction),
            f"images for every split out of {source.sizes}",
            "Use a fraction such as 0.1 and fewer training images.",
        )
    parts["train"] = f"train[{first}:{first + count}]"
    sizes["train"] = count
    return parts, {part: sizes[part] for part in indexed.PARTS}


class _Stream:
    """Training order and batches; a function of (seed, epoch, step)."""

    def __init__(
        self,
        source: TfdsSet,
        parts: dict[str, str],
        count: int,
        settings: Settings,
        normalization: Normalization,
    ) -> None:
        self.source = source
        self.parts = parts
        self.settings = settings
        self.normalization = normalization
        size = settings.batch_size
        drop = settings.drop_remainder
        self.steps = count // size if drop else -(-count // size)
        image_bytes = int(np.prod(source.input_shape))
        self.buffer = max(1, min(count, SHUFFLE_BYTES // image_bytes))

    def shuffled(self) -> tf.data.Dataset:
        cardinality = tf.data.experimental.assert_cardinality(self.steps)
        draws = pipeline.random_epochs(self.settings.seed)
        return self._epochs(draws).apply(cardinality)

    def endless(self, epoch: int) -> tf.data.Dataset:
        return self._epochs(pipeline.epochs_from(epoch))

    def ordered(self, split: str) -> tf.data.Dataset:
        batches = self.source.dataset(self.parts[split]).batch(
            self.settings.batch_size
        )
        return self._finish(batches.map(self._normalize))

    def choose(
        self, split: str, count: int, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Some of the first images of the split, not of all of it."""
        examples = self.source.dataset(self.parts[split])
        key = tf.constant([seed, 0], tf.int64)
        mixed = pipeline.shuffle(examples, min(self.buffer, 4 * count), key)
        images, labels = next(iter(mixed.batch(count)))
        return images.numpy(), labels.numpy()

    def _epochs(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        examples = self.source.dataset(self.parts["train"])

        def one_epoch(epoch: Any) -> tf.data.Dataset:
            key = tf.stack([tf.constant(self.settings.seed, tf.int64), epoch])
            mixed = pipeline.shuffle(examples, self.buffer, key)
            batches = mixed.batch(
                self.settings.batch_size, self.settings.drop_remainder
            )
            return batches.enumerate().map(
                lambda step, batch: (*batch, pipeline.step_key(key, step))
            )

        def finish(images: Any, labels: Any, key: Any) -> tuple[Any, Any]:
            if self.settings.augment:
                images = pad_crop_flip(images, key)
            return self._normalize(images, labels)

        batches = epochs.flat_map(one_epoch)
        return self._finish(
            batches.map(finish, num_parallel_calls=pipeline.cores())
        )

    def _normalize(self, images: Any, labels: Any) -> tuple[Any, Any]:
        return pipeline.normalize(images, self.normalization), labels

    def _finish(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.prefetch(pipeline.PREFETCH).with_options(
            pipeline.options()
        )
