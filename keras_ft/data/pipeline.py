"""tf.data pipelines whose every batch is a function of (seed, epoch, step).

Images stay uint8 in memory, once; a batch is gathered by index, augmented as
a whole, then normalized. There is no Python generator and no variable in it,
so it runs under every distribution strategy.
"""

import dataclasses
import os
from collections.abc import Callable
from typing import Any

import numpy as np
import tensorflow as tf

from keras_ft.data.augment import pad_crop_flip
from keras_ft.data.normalization import Normalization

Fetch = Callable[[Any], Any]
PREFETCH = 4
# Epochs are numbered below this; those drawn at random lie above.
RANDOM_EPOCHS = 2**40
OWN_SEED = 1802  # Any but 0: operations take (0, 0) as "no seed".


def cores() -> int:
    """Processors this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def from_memory(images: np.ndarray) -> Fetch:
    """Fetches from uint8 images (N, H, W, C); the array is copied once."""
    with tf.device("CPU:0"):
        held = tf.constant(images)
    return lambda indices: tf.gather(held, indices)


def options() -> tf.data.Options:
    """Own threads, one per core, so that input does not crowd out training."""
    chosen = tf.data.Options()
    chosen.deterministic = True
    # Every parallelism and buffer here is a number: there is nothing to tune.
    # And the tuner's thread sleeps 10, 20, 40, ... ms; in TensorFlow 2.21 an
    # iterator that `fit` drops may wait until it wakes: up to as long as the
    # epoch took, once per iterator (benchmarks/end_of_fit.py).
    chosen.autotune.enabled = False
    chosen.threading.private_threadpool_size = cores()
    chosen.threading.max_intra_op_parallelism = 1
    # No files are behind these datasets: workers share by batch.
    chosen.experimental_distribute.auto_shard_policy = (
        tf.data.experimental.AutoShardPolicy.DATA
    )
    return chosen


def normalize(images: Any, normalization: Normalization) -> Any:
    """uint8 batch (B, H, W, C), H, W and C static, to normalized float32."""
    shape = images.shape[1:]
    scale, shift = (
        np.broadcast_to(part, shape).reshape(-1)
        for part in normalization.scale_and_shift()
    )
    # Flat, because broadcasting along an axis of 3 takes four times as long.
    flat = tf.reshape(tf.cast(images, tf.float32), (-1, shape.num_elements()))
    return tf.reshape(flat * scale + shift, (-1, *shape))


def epochs_from(epoch: int) -> tf.data.Dataset:
    """The numbers of all epochs from `epoch` on."""
    return tf.data.Dataset.range(epoch, RANDOM_EPOCHS)


# `Dataset.random` and `Dataset.shuffle` mix in the global seed, which other
# code may set; our batches depend on our seed alone. Hence the raw operations.


def random_epochs(seed: int) -> tf.data.Dataset:
    """One epoch number per iterator, the n-th the same for the same seed."""
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
    """Examples in the random order of a key (2,), within a buffer."""
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


def step_key(epoch_key: Any, step: Any) -> Any:
    """The random key of one batch, shape (2,)."""
    return tf.random.experimental.stateless_fold_in(epoch_key, step)


def resize(image: Any, size: tuple[int, int]) -> Any:
    """uint8 image (H, W, C) at the given (height, width), antialiased."""
    resized = tf.image.resize(image, size, antialias=True)
    return tf.cast(tf.round(tf.clip_by_value(resized, 0, 255)), tf.uint8)


@dataclasses.dataclass(frozen=True)
class Batches:
    """Batches of one split.

    Args:
        fetch: Maps int64 indices (B,) to uint8 images (B, H, W, C).
        labels: int32 labels (N,); N is the number of images.
        image_shape: (H, W, C).
        normalization: Applied last.
        batch_size: Images per batch, >= 1.
        seed: Key of order and augmentation, 0..2**63 - 1.
        augment: Whether `shuffled` and `stream` pad, crop and flip.
        drop_remainder: Leave out a last batch smaller than `batch_size`.
        positions: int64 (N,), what to give to `fetch` for each image; 0 to
            N - 1 if left out.

    Example:

    >>> images = np.zeros((10, 8, 8, 1), np.uint8)
    >>> batches = Batches(from_memory(images), np.zeros(10, np.int32),
    ...                   (8, 8, 1), Normalization((0.5,), (0.5,)), 4)
    >>> [len(labels) for _, labels in batches.ordered()]
    [4, 4, 2]
    """

    fetch: Fetch
    labels: np.ndarray
    image_shape: tuple[int, int, int]
    normalization: Normalization
    batch_size: int
    seed: int = 0
    augment: bool = False
    drop_remainder: bool = False
    positions: np.ndarray | None = None

    @property
    def steps(self) -> int:
        """Batches per epoch."""
        if self.drop_remainder:
            return len(self.labels) // self.batch_size
        return -(-len(self.labels) // self.batch_size)

    def ordered(self) -> tf.data.Dataset:
        """All images once, in their own order, not augmented."""
        order = tf.range(len(self.labels), dtype=tf.int64)

        def batch(step: Any) -> Any:
            return self._batch(self._indices(order, step), None)

        steps = tf.data.Dataset.range(self.steps)
        return self._finish(steps.map(batch, num_parallel_calls=cores()))

    def shuffled(self) -> tf.data.Dataset:
        """One epoch per iterator, each in a new order.

        The n-th iterator of this dataset is the same in every process.
        """
        cardinality = tf.data.experimental.assert_cardinality(self.steps)
        return self._epochs(random_epochs(self.seed)).apply(cardinality)

    def stream(self, epoch: int) -> tf.data.Dataset:
        """Endless batches from the first one of `epoch` (counted from 0).

        Batch s of epoch e does not depend on where the stream began.
        """
        return self._epochs(epochs_from(epoch))

    def _epochs(self, epochs: tf.data.Dataset) -> tf.data.Dataset:
        def indices(epoch: Any) -> tf.data.Dataset:
            key = tf.stack([tf.constant(self.seed, tf.int64), epoch])
            count = tf.range(len(self.labels), dtype=tf.int64)
            order = tf.random.experimental.stateless_shuffle(
                count, key, alg="philox"
            )
            return tf.data.Dataset.range(self.steps).map(
                lambda step: (self._indices(order, step), key, step)
            )

        def batch(chosen: Any, key: Any, step: Any) -> Any:
            return self._batch(chosen, step_key(key, step))

        chosen = epochs.flat_map(indices)
        return self._finish(chosen.map(batch, num_parallel_calls=cores()))

    def _indices(self, order: Any, step: Any) -> Any:
        start = step * self.batch_size
        indices = order[start : start + self.batch_size]
        if self.drop_remainder:
            indices = tf.ensure_shape(indices, (self.batch_size,))
        return indices

    def _batch(self, indices: Any, key: Any) -> tuple[Any, Any]:
        positions = indices
        if self.positions is not None:
            positions = tf.gather(self.positions, indices)
        images = tf.ensure_shape(
            self.fetch(positions), (indices.shape[0], *self.image_shape)
        )
        if key is not None and self.augment:
            images = pad_crop_flip(images, key)
        labels = tf.gather(tf.constant(self.labels, tf.int32), indices)
        return normalize(images, self.normalization), labels

    def _finish(self, dataset: tf.data.Dataset) -> tf.data.Dataset:
        return dataset.prefetch(PREFETCH).with_options(options())
