"""Do all replicas get the same number of images?

Keras averages over the images of each replica and then over replicas. With
unequal shares that is another mean: the weights go elsewhere than on one
device. Metrics weigh each replica by its images and stay exact.
"""

import math
from collections.abc import Mapping
from typing import Any

import keras

from keras_ft.errors import InputError

DEFAULT_BATCH_SIZE = 32  # of Keras, for arrays


def check_training(given: Mapping[str, Any], replicas: int) -> None:
    """Refuses training batches that the replicas cannot share equally.

    Args:
        given: Arguments of `fit` by name.
        replicas: Replicas in sync.
    """
    x, size = given.get("x"), given.get("batch_size")
    split = 0.0
    if given.get("validation_data") is None:
        split = given.get("validation_split") or 0.0
    for batch in _batches(x, size, (0.0, 1.0 - split)):
        _check("x", batch, replicas)


def check_validation(given: Mapping[str, Any], replicas: int) -> None:
    """Refuses a first validation batch that is not shared equally.

    Keras fails at it; later ones may be shared unequally.
    """
    size = given.get("validation_batch_size") or given.get("batch_size")
    data, split = given.get("validation_data"), given.get("validation_split")
    if data is not None:
        x = data[0] if isinstance(data, (tuple, list)) else data
        _check_first("validation_data", _batches(x, size), replicas)
    elif split:
        batches = _batches(given.get("x"), size, (1.0 - split, 1.0))
        _check_first("validation_split", batches, replicas)


def check_evaluation(given: Mapping[str, Any], replicas: int) -> None:
    """The same for the arguments of `evaluate`."""
    batches = _batches(given.get("x"), given.get("batch_size"))
    _check_first("x", batches, replicas)


def unequal(argument: str, batch: str, replicas: int) -> InputError:
    """The error for a batch that replicas cannot share equally."""
    return InputError(
        argument,
        f"a batch {batch}, for {replicas} replicas",
        f"batches known to divide by {replicas}",
        f"Use a batch size that divides by {replicas}, and leave out a "
        "smaller last batch: dataset.batch(n, drop_remainder=True), "
        "keras_ft.data.load(name, drop_remainder=True), or x[:n] of an array.",
    )


def _check(argument: str, size: int | None, replicas: int) -> None:
    if size is None or size % replicas:
        received = "whose size is not known" if size is None else f"of {size}"
        raise unequal(argument, received, replicas)


def _check_first(
    argument: str, batches: list[int | None], replicas: int
) -> None:
    # A stream cannot be looked at: `explained_errors` waits for it.
    if batches[0] is not None:
        _check(argument, batches[0], replicas)


def _batches(
    x: Any, batch_size: int | None, part: tuple[float, float] = (0.0, 1.0)
) -> list[int | None]:
    """Sizes of the first and last batch, as far as they are known."""
    import tensorflow as tf

    if isinstance(x, tf.distribute.DistributedDataset):
        return [_whole(x, tf)]
    if hasattr(x, "element_spec"):
        return [_length(x.element_spec)]
    if isinstance(x, keras.utils.PyDataset):
        last = (x.num_batches or 1) - 1
        return [_length(x[index]) for index in sorted({0, last})]
    images = _length(x)
    if images is None:
        return [None]
    # As Keras cuts validation_split off.
    start, stop = (math.floor(images * fraction) for fraction in part)
    size = batch_size or DEFAULT_BATCH_SIZE
    return [min(size, stop - start), (stop - start) % size or size]


def _length(batch: Any) -> int | None:
    leaf = keras.tree.flatten(batch)[0]
    shape = getattr(leaf, "shape", None)
    if shape is None or getattr(shape, "rank", 0) is None:
        return None
    return shape[0]


def _whole(dataset: Any, tf: Any) -> int | None:
    """Images in a batch that is already divided, when shares are equal."""
    parts = tf.nest.flatten(dataset.element_spec)
    shares = tf.nest.flatten(dataset.element_spec, expand_composites=True)
    sizes = [_length(share) for share in shares]
    if sizes[0] is None or len(set(sizes)) > 1:
        return None
    return sizes[0] * len(shares) // len(parts)
