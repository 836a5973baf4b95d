"""tf.data pipelines whose every batch is a function of (seed, epoch, step).

Images stay uint8 until they are batched; then they are augmented as a whole
and normalized. There is no Python generator and no variable in a pipeline, so
it runs under every distribution strategy.
"""

import abc
import dataclasses
import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.data import augmentation
from keras_ft.data.augment import pad_crop_flip
from keras_ft.data.augment import padding_for
from keras_ft.data.mixing import mix
from keras_ft.data.normalization import Normalization
from keras_ft.data.randaugment import randaugment
from keras_ft.data.splits import UNLABELLED
from keras_ft.data.splits import Split

PREFETCH = 4
SHUFFLE_BYTES = 2**30
# Epochs are numbered below this; those drawn at random lie above.
RANDOM_EPOCHS = 2**40
OWN_SEED = 1802  # Any but 0: operations take (0, 0) as "no seed".


def cores() -> int:
    """Return how many processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def options() -> tf.data.Options:
    """Return options of all pipelines: own threads, one per core, no tuner."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    # Every parallelism and buffer here is a number: there is nothing to tune.
    # And the tuner's thread sleeps 10, 20, 40, ... ms; in TensorFlow 2.21 an
    # iterator that `fit` drops may wait until it wakes: up to as long as the
    # epoch took, once per iterator (benchmarks/end_of_fit.py).
    chosen.autotune.enabled = False
    # Nor to rewrite; the rewriter takes an iterator 0.02 s and copies all
    # images that a pipeline holds.
    chosen.experimental_optimization.apply_default_optimizations = False
    # So that input does not crowd out training.
    chosen.threading.private_threadpool_size = cores()
    chosen.threading.max_intra_op_parallelism = 1
    # No files are behind these datasets: workers share by batch.
    chosen.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return chosen


def prefetched(dataset: tf.data.Dataset) -> tf.data.Dataset:
    """Return a pipeline with the last stage that all of ours have."""
    return dataset.prefetch(PREFETCH).with_options(options())


def normalize(images: Any, normalization: Normalization) -> Any:
    """Map a uint8 batch (B, H, W, C), H, W and C static, to float32."""
    shape = images.shape[1:]
    scale, shift = (
        np.broadcast_to(part, shape).reshape(-1)
        for part in normalization.scale_and_shift()
    )
    # Flat, because broadcasting along an axis of 3 takes four times as long.
    flat = tf.reshape(tf.cast(images, tf.float32), (-1, shape.num_elements()))
    return tf.reshape(flat * scale + shift, (-1, *shape))


def resize(image: Any, size: tuple[int, int]) -> Any:
    """Resize a uint8 image (H, W, C) to (height, width), antialiased."""
    resized = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)


def epochs_from(epoch: int) -> tf.data.Dataset:
    """Return the numbers of all epochs from `epoch` on."""
    return tf.data.Dataset.range(epoch, RANDOM_EPOCHS)


# `Dataset.random` and `Dataset.shuffle` mix in the global seed, which other
# code may set; our batches depend on our seed alone. Hence the raw operations.


def random_epochs(seed: int) -> tf.data.Dataset:
    """Return one epoch number per iterator, the n-th the same for a seed."""
    draws = tf.raw_ops.RandomDatasetV2(
        seed=tf.constant(OWN_SEED, tf.int64),
        seed2=tf.constant(seed, tf.int64),
        seed_generator=tf.raw_ops.DummySeedGenerator(),
        rerandomize_each_iteration=True,
        output_types=[tf.int64],
        output_shapes=[()],
    )
    spec = tf.TensorSpec((), tf.int64)
    one = tf.data.experimental.from_variant(draws, spec).take(1)
    return one.map(lambda draw: draw + RANDOM_EPOCHS)


def shuffle(examples: tf.data.Dataset, buffer: int, key: Any) -> Any:
    """Put examples in the random order of a key (2,), within a buffer."""
    spec = examples.element_spec
    mixed = tf.raw_ops.ShuffleDataset(
        input_dataset=tf.data.experimental.to_variant(examples),
        buffer_size=tf.constant(buffer, tf.int64),
        seed=OWN_SEED + key[0],
        seed2=key[1],
        reshuffle_each_iteration=False,
        output_types=[part.dtype for part in tf.nest.flatten(spec)],
        output_shapes=[part.shape for part in tf.nest.flatten(spec)],
    )
    return tf.data.experimental.from_variant(mixed, spec)


def join(first: Split, second: Split) -> Split:
    """Return a split with the images of two, which are fetched apart."""

    def fetch(places: Any) -> Any:
        places = tf.convert_to_tensor(places)
        kinds = tf.cast(places >= len(first), tf.int32)
        where = tf.dynamic_partition(tf.range(tf.size(places)), kinds, 2)
        mine, theirs = tf.dynamic_partition(places, kinds, 2)
        images = [
            first.fetch(tf.gather(first.positions, mine)),
            second.fetch(tf.gather(second.positions, theirs - len(first))),
        ]
        return tf.dynamic_stitch(where, images)

    labels = np.concatenate([first.labels, second.labels])
    return Split(fetch, labels, np.arange(len(labels)))


def split_in_memory(images: np.ndarray, labels: np.ndarray) -> Split:
    """Return a split of uint8 images (N, H, W, C), which are copied once."""
    with tf.device("CPU:0"):
        held = tf.constant(images)
    return Split(
        lambda positions: tf.gather(held, positions),
        labels.astype(np.int32),
        np.arange(len(labels)),
    )


def fetch_from_file(path: Path, shape: tuple[int, ...]) -> Callable[[Any], Any]:
    """Return what gives the images of a file by their positions.

    The file is mapped into memory, not read: the system holds what fits
    there, and reads the rest when it is asked for. It may be removed at once
    where the system lets open files be removed.

    Args:
        path: uint8 images of one shape, one after the other.
        shape: (N, H, W, C).
    """
    # Writable, because NumPy lends nothing else; nobody writes. By DLPack,
    # because `tf.constant` copies, as does `tf.raw_ops.ImmutableConst`, whose
    # value is folded into a graph.
    mapped = np.memmap(path, np.uint8, "r+", shape=shape)
    images = tf.experimental.dlpack.from_dlpack(mapped.__dlpack__())
    return lambda positions: tf.gather(images, positions)


@dataclasses.dataclass(frozen=True, kw_only=True)
class Batches(abc.ABC):
    """Batches of one split: normalized float32 images and their labels.

    Args:
        image_shape: (H, W, C).
        normalization: Applied last.
        batch_size: Images per batch, >= 1.
        seed: Key of order and augmentation, 0..2**63 - 1.
        augment: What is done to training batches, see `augmentation.resolve`.
        one_hot: Give labels as float32 rows (B, one_hot) instead of int32
            (B,); needed where `augment` mixes them.
        drop_remainder: Leave out a last batch smaller than `batch_size`.
    """

    image_shape: tuple[int, int, int]
    normalization: Normalization
    batch_size: int
    seed: int = 0
    augment: str = augmentation.NONE
    one_hot: int | None = None
    drop_remainder: bool = False

    @abc.abstractmethod
    def __len__(self) -> int:
        """Return the number of images."""

    @abc.abstractmethod
    def choose(
        self, count: int, seed: int, labelled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return some uint8 images and their labels, other ones per seed."""

    @abc.abstractmethod
    def _epoch(self, epoch: Any) -> tf.data.Dataset:
        """Return (chosen, epoch, step) of every batch of an epoch."""

    @abc.abstractmethod
    def _in_order(self) -> tf.data.Dataset:
        """Return the chosen images of every batch of one pass."""

    @abc.abstractmethod
    def _read(self, chosen: Any) -> tuple[Any, Any, Any]:
        """Return uint8 images, labels and numbers of what was chosen."""

    @property
    def rows(self) -> int:
        """Return how many images an epoch has, repeated ones included."""
        return min(len(self), self.steps * self.batch_size)

    @property
    def numbers(self) -> int:
        """Return a bound that all numbers of images lie below."""
        return len(self)

    @property
    def labelled(self) -> int:
        """Return how many of the images have labels."""
        return len(self)

    @property
    def has_unlabelled(self) -> bool:
        """Return whether batches hold images without labels."""
        return False

    def known_labels(self) -> np.ndarray | None:
        """Return all labels there are, int32 (N,); `None` of streamed ones."""
        return None

    def labelled_only(self) -> "Batches":
        """Return as many batches, of labelled images alone."""
        return self

    @property
    def steps(self) -> int:
        """Return the number of batches per epoch."""
        if self.drop_remainder:
            return len(self) // self.batch_size
        return -(-len(self) // self.batch_size)

    def ordered(self, numbered: bool = False) -> tf.data.Dataset:
        """Return all images once, in their own order, not augmented.

        Args:
            numbered: Add each image's number in the split, int64 (B,), and
                the epoch's, 0, as `numbered` does.
        """

        def batch(chosen: Any) -> Any:
            images, labels, numbers = self._traced_plain_batch(chosen)
            if numbered:
                return images, labels, numbers, tf.constant(0, tf.int64)
            return images, labels

        batches = self._in_order()
        return prefetched(batches.map(batch, num_parallel_calls=cores()))

    def shuffled(self) -> tf.data.Dataset:
        """Return one epoch per iterator, each in a new order.

        The n-th iterator of this dataset is the same in every process.
        """
        cardinality = tf.data.experimental.assert_cardinality(self.steps)
        return self._finished(random_epochs(self.seed)).apply(cardinality)

    def stream(self, epoch: int) -> tf.data.Dataset:
        """Return endless batches from the first one of `epoch` on.

        Batch s of epoch e does not depend on where the stream began.

        Args:
            epoch: Counted from 0.
        """
        return self._finished(epochs_from(epoch))

    def numbered(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        """Return training batches that say which images they consist of.

        Args:
            epochs: Numbers of epochs, int64.

        Returns:
            Batches (images, labels, numbers, epoch) of these epochs; numbers
            are int64 (B,), each image's number in the split.
        """
        return self._finished(epochs, numbered=True)

    def _finished(
        self, epochs: tf.data.Dataset, numbered: bool = False
    ) -> tf.data.Dataset:
        def batch(chosen: Any, epoch: Any, step: Any) -> Any:
            images, labels, numbers = self._traced_batch(chosen, epoch, step)
            if numbered:
                return images, labels, numbers, epoch
            return images, labels

        # One stage does it all: every further one costs a thread's time.
        batches = epochs.flat_map(self._traced_epoch)
        return prefetched(batches.map(batch, num_parallel_calls=cores()))

    # Every iterator has a pipeline of its own, and every pipeline would trace
    # its functions anew: most of the time until its first batch.

    @functools.cached_property
    def _traced_epoch(self) -> Any:
        return tf.function(self._epoch)

    @functools.cached_property
    def _traced_batch(self) -> Any:
        return tf.function(self._batch)

    @functools.cached_property
    def _traced_plain_batch(self) -> Any:
        return tf.function(self._plain_batch)

    def _plain_batch(self, chosen: Any) -> Any:
        """Return images, not augmented, labels and numbers of a batch."""
        images, labels, numbers = self._read(chosen)
        return (
            normalize(images, self.normalization),
            self._given(labels),
            numbers,
        )

    def _batch(self, chosen: Any, epoch: Any, step: Any) -> Any:
        """Return images, labels and numbers of a training batch."""
        images, labels, numbers = self._read(chosen)
        images, labels = self._augmented(images, labels, epoch, step)
        return images, labels, numbers

    def _augmented(
        self, images: Any, labels: Any, epoch: Any, step: Any
    ) -> tuple[Any, Any]:
        """Return a training batch: augmented, normalized, perhaps mixed."""
        fold_in = tf.random.experimental.stateless_fold_in
        key = fold_in(self._key(epoch), step)
        steps = augmentation.steps(self.augment)
        wanted = {name: name in steps for name in ("crop", "flip")}
        if any(wanted.values()):
            padding = padding_for(images.shape[1:])
            images = pad_crop_flip(images, key, padding, **wanted)
        if "randaugment" in steps:
            images = randaugment(images, fold_in(key, 1))
        images = normalize(images, self.normalization)
        labels = self._given(labels)
        if augmentation.mixes(self.augment):
            partners = self._partners(tf.shape(images)[0])
            images, labels = mix(
                images, labels, partners, fold_in(key, 2), steps
            )
        return images, labels

    def _partners(self, count: Any) -> Any:
        """Return the place of each image's partner: who comes next."""
        return tf.roll(tf.range(count), -1, axis=0)

    def _given(self, labels: Any) -> Any:
        """Return int32 labels as they are given out."""
        if self.one_hot is None:
            return labels
        return tf.one_hot(labels, self.one_hot)

    def _key(self, epoch: Any) -> Any:
        """Return the random key of an epoch, shape (2,)."""
        return tf.stack([tf.constant(self.seed, tf.int64), epoch])


@dataclasses.dataclass(frozen=True, kw_only=True)
class IndexedBatches(Batches):
    """Batches of images that can be fetched by their position.

    Args:
        split: The images and their labels.
    """

    split: Split = dataclasses.field(repr=False)

    def __len__(self) -> int:
        return len(self.split)

    def known_labels(self) -> np.ndarray:
        return self.split.labels[self.split.labels != UNLABELLED]

    def choose(
        self, count: int, seed: int, labelled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        chosen = np.random.default_rng(seed).permutation(len(self))
        if labelled:
            chosen = chosen[self.split.labels[chosen] != UNLABELLED]
        chosen = chosen[:count]
        return self.split.images(chosen), self.split.labels[chosen]

    def _epoch(self, epoch: Any) -> tf.data.Dataset:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(len(self), dtype=tf.int64), self._key(epoch), alg="philox"
        )
        return tf.data.Dataset.range(self.steps).map(
            lambda step: (self._numbers(order, step), epoch, step)
        )

    def _in_order(self) -> tf.data.Dataset:
        order = tf.range(len(self), dtype=tf.int64)
        steps = tf.data.Dataset.range(self.steps)
        return steps.map(lambda step: self._numbers(order, step))

    def _numbers(self, order: Any, step: Any) -> Any:
        start = step * self.batch_size
        numbers = order[start : start + self.batch_size]
        if self.drop_remainder:
            numbers = tf.ensure_shape(numbers, (self.batch_size,))
        return numbers

    def _read(self, chosen: Any) -> tuple[Any, Any, Any]:
        positions = tf.gather(self.split.positions, chosen)
        images = tf.ensure_shape(
            self.split.fetch(positions), (chosen.shape[0], *self.image_shape)
        )
        labels = tf.constant(self.split.labels, tf.int32)
        return images, tf.gather(labels, chosen), chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class MixedBatches(IndexedBatches):
    """Training batches of images with labels and of images without.

    Every batch is full and begins with `labelled_per_batch` labelled images;
    the label of the others is -1. An epoch has as many batches as all images
    fill. Labelled and unlabelled images are shuffled apart, and again when
    the epoch needs more of them than there are: an image may come several
    times in an epoch, in a new view each time, or not at all. The number of
    its k-th time, from 0, is `k * len(self)` plus its number in the split.

    Args:
        labelled_per_batch: 1 up to the batch size; with the whole batch the
            unlabelled images stay out, and the number of batches remains.
    """

    labelled_per_batch: int

    @property
    def steps(self) -> int:
        return -(-len(self) // self.batch_size)

    @property
    def rows(self) -> int:
        return self.steps * self.batch_size

    @property
    def numbers(self) -> int:
        return len(self) * max(
            -(-self.steps * wanted // len(members))
            for members, wanted in self._groups
        )

    @property
    def labelled(self) -> int:
        return int(np.sum(self.split.labels != UNLABELLED))

    @property
    def has_unlabelled(self) -> bool:
        return self.labelled_per_batch < self.batch_size

    def labelled_only(self) -> "MixedBatches":
        return dataclasses.replace(self, labelled_per_batch=self.batch_size)

    @property
    def _groups(self) -> list[tuple[np.ndarray, int]]:
        """Return both kinds' numbers in the split, and how many per batch."""
        known = self.split.labels != UNLABELLED
        wanted = self.labelled_per_batch
        groups = [(known, wanted), (~known, self.batch_size - wanted)]
        return [(np.flatnonzero(kind), n) for kind, n in groups if n]

    def _epoch(self, epoch: Any) -> tf.data.Dataset:
        orders = [
            (self._order(epoch, index, members, wanted), wanted)
            for index, (members, wanted) in enumerate(self._groups)
        ]

        def batch(step: Any) -> Any:
            parts = [
                order[step * wanted : (step + 1) * wanted]
                for order, wanted in orders
            ]
            numbers = tf.concat(parts, 0)
            numbers = tf.ensure_shape(numbers, (self.batch_size,))
            return numbers, epoch, step

        return tf.data.Dataset.range(self.steps).map(batch)

    def _order(
        self, epoch: Any, index: int, members: np.ndarray, wanted: int
    ) -> Any:
        """Return the numbers of one kind's images, in the order of an epoch."""
        fold = tf.random.experimental.stateless_fold_in
        key = fold(self._key(epoch), index)
        times = -(-self.steps * wanted // len(members))
        shuffled = [
            tf.random.experimental.stateless_shuffle(
                tf.constant(members + time * len(self), tf.int64),
                fold(key, time),
                alg="philox",
            )
            for time in range(times)
        ]
        return tf.concat(shuffled, 0)

    def _partners(self, count: Any) -> Any:
        # Labelled images with labelled ones, the others among themselves.
        places = tf.range(count)
        known = self.labelled_per_batch
        kinds = [places[:known], places[known:]]
        return tf.concat([tf.roll(kind, -1, axis=0) for kind in kinds], 0)

    def _read(self, chosen: Any) -> tuple[Any, Any, Any]:
        images, labels, _ = super()._read(chosen % len(self))
        return images, labels, chosen


@dataclasses.dataclass(frozen=True, kw_only=True)
class StreamedBatches(Batches):
    """Batches of images that are read one after the other, every epoch anew.

    An epoch is shuffled within a buffer of at most 1 GiB.

    Args:
        examples: uint8 image (H, W, C) and int32 label, always in one order.
        count: How many there are.
    """

    examples: Callable[[], tf.data.Dataset] = dataclasses.field(repr=False)
    count: int

    def __len__(self) -> int:
        return self.count

    def choose(
        self, count: int, seed: int, labelled: bool = False
    ) -> tuple[np.ndarray, np.ndarray]:
        # Some of the first images of the split, not of all of it.
        key = tf.constant([seed, 0], tf.int64)
        buffer = min(self._buffer, 4 * count)
        mixed = shuffle(self.examples(), buffer, key)
        images, labels = next(iter(mixed.batch(count)))
        return images.numpy(), labels.numpy()

    def _epoch(self, epoch: Any) -> tf.data.Dataset:
        mixed = shuffle(self._numbered_examples, self._buffer, self._key(epoch))
        batches = mixed.batch(self.batch_size, self.drop_remainder)
        return batches.enumerate().map(lambda step, batch: (batch, epoch, step))

    @functools.cached_property
    def _numbered_examples(self) -> tf.data.Dataset:
        with tf.init_scope():  # Asked for where an epoch is traced.
            return self.examples().enumerate()

    def _in_order(self) -> tf.data.Dataset:
        # As one argument, as the elements of `_epoch` have it.
        batches = self.examples().enumerate().batch(self.batch_size)
        return batches.map(lambda numbers, batch: ((numbers, batch),))

    def _read(self, chosen: Any) -> tuple[Any, Any, Any]:
        numbers, (images, labels) = chosen
        return images, labels, numbers

    @property
    def _buffer(self) -> int:
        image_bytes = int(np.prod(self.image_shape))
        return max(1, min(self.count, SHUFFLE_BYTES // image_bytes))
