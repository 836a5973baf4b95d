"""Check batches and losses inside TensorFlow's steps, before any update.

A stream can only be checked as it flows. Each check is an assertion that the
tensors behind it wait for, so that a batch that fails changes nothing;
`explained_errors` turns the failure into an `InputError`.

XLA drops assertions. For a step compiled with `jit_compile=True` the stream
itself carries the check of the batch (`FrozenTeacherModel.fit`); a loss that is
not finite goes unnoticed there, as in Keras.
"""

import contextlib
import re
from collections.abc import Callable
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft import losses
from keras_ft.errors import InputError
from keras_ft.validation import labels as label_checks
from keras_ft.validation.data import not_finite

MARK = "keras_ft: "


def guard_batch(
    data: Any, loss: Any = None, student: keras.Model | None = None
) -> Any:
    """Return a batch whose images wait for the checks of its values.

    Args:
        data: `x`, `(x, y)` or `(x, y, sample_weight)`, tensors.
        loss: The compiled loss; labels are checked for sparse
            cross-entropies, which want class indices; None checks none.
        student: The model whose outputs are the classes, or None.

    Returns:
        The same batch. Not even batch normalization sees it when it is bad.
    """
    data = keras.tree.map_structure(_own, data)
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    leaves = keras.tree.flatten(x)
    assertions = [_finite_images(leaf) for leaf in leaves if _is_float(leaf)]
    classes = label_checks.classes(student)
    if y is not None and classes and label_checks.is_sparse(loss):
        ignored = label_checks.ignored(loss)
        assertions.append(_labels_in_range(y, classes, ignored))
    assertions += [_usable(leaf) for leaf in keras.tree.flatten(sample_weight)]
    waiting = keras.tree.pack_sequence_as(x, wait_for(assertions, leaves))
    return keras.utils.pack_x_y_sample_weight(waiting, y, sample_weight)


def guard_stream(x: Any, guard: Callable[[Any], Any]) -> Any:
    """Return a `tf.data` stream whose batches wait for their checks, or x.

    XLA drops the assertions of a step without a word: a compiled step needs
    them in the stream that feeds it.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        if isinstance(x, tf.data.Dataset):
            return x.map(lambda *batch: guard(batch))
    return x


def _own(share: Any) -> Any:
    """Return a copy of a replica's share of the batch, on CPUs.

    TensorFlow 2.21 hands NumPy arrays of a generator or PyDataset over without
    a copy, slices them for the replicas and then lets a step write its results
    into the slices: `sample_weight * 3` would change the caller's array.
    """
    if share is None or losses.replicas() == 1:
        return share
    import tensorflow as tf

    # Not the replica context's devices: on a second worker they do not exist.
    devices = tf.distribute.get_strategy().extended.worker_devices
    if "CPU" not in devices[0]:
        return share
    return tf.raw_ops.DeepCopy(x=share)


def assert_finite(value: Any, name: str) -> Any:
    """Assert that a scalar loss is neither NaN nor infinite."""
    import tensorflow as tf

    error = InputError(
        name,
        "a value that is NaN or infinite",
        "finite values",
        "No weight was updated. Lower the learning rate or beta; in "
        "mixed_float16 an activation may have overflowed.",
    )
    return tf.debugging.Assert(tf.math.is_finite(value), [as_text(error)])


def wait_for(assertions: list[Any], tensors: list[Any]) -> list[Any]:
    """Return the tensors, available only once every assertion held."""
    import tensorflow as tf

    # Eagerly an assertion has already run and is None.
    pending = [assertion for assertion in assertions if assertion is not None]
    with tf.control_dependencies(pending):
        return [tf.identity(tensor) for tensor in tensors]


def agree_on_overflow(
    optimizer: keras.optimizers.Optimizer, gradients: list[Any]
) -> list[Any]:
    """For loss scaling, make gradients finite on all replicas or on none.

    Keras' `LossScaleOptimizer` skips a step whose gradients overflowed, and
    believes that the replicas have already been summed up. They have not:
    workers that decide differently wait for each other without end, and
    `MirroredStrategy` asks its first replica only.
    """
    if not isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return gradients
    import tensorflow as tf

    places = [i for i, g in enumerate(gradients) if g is not None]
    if losses.replicas() == 1 or not places:
        return gradients
    finite = [tf.reduce_all(tf.math.is_finite(gradients[i])) for i in places]
    lost = tf.cast(tf.logical_not(tf.reduce_all(finite)), "float32")
    context = tf.distribute.get_replica_context()
    anywhere = context.all_reduce(tf.distribute.ReduceOp.SUM, lost) > 0
    first = gradients[places[0]]
    shared = tf.where(anywhere, tf.cast(float("nan"), first.dtype), first)
    return [shared if i == places[0] else g for i, g in enumerate(gradients)]


def _is_float(tensor: Any) -> bool:
    return keras.backend.is_float_dtype(
        keras.backend.standardize_dtype(tensor.dtype)
    )


def _finite_images(images: Any) -> Any:
    import tensorflow as tf

    inside = tf.reduce_all(tf.math.is_finite(images))
    return tf.debugging.Assert(inside, [as_text(not_finite("x"))])


def _usable(sample_weight: Any) -> Any:
    """Assert that weights, those of classes among them, are 0 or more."""
    import tensorflow as tf

    if sample_weight is None:
        return None
    error = InputError(
        "sample_weight",
        "a weight that is negative, NaN or infinite",
        "finite weights of at least 0",
        "Look at sample_weight and class_weight: 0 leaves an image out, and "
        "less than 0 would train the student to be wrong.",
    )
    weights = tf.cast(sample_weight, "float32")
    inside = tf.reduce_all(tf.math.is_finite(weights) & (weights >= 0))
    return tf.debugging.Assert(inside, [as_text(error)])


def _labels_in_range(labels: Any, classes: int, ignored: int | None) -> Any:
    import tensorflow as tf

    error = label_checks.out_of_range(f"outside of 0 to {classes - 1}", classes)
    whole = tf.cast(labels, "int64")
    inside = (whole >= 0) & (whole < classes)
    inside &= tf.cast(whole, labels.dtype) == labels
    if ignored is not None:
        inside |= labels == ignored
    return tf.debugging.Assert(tf.reduce_all(inside), [as_text(error)])


def as_text(error: InputError) -> str:
    """Return an error as the one string that a graph can hand on.

    Raise it from within a graph, or assert with it, inside a block of
    `explained_errors`.
    """
    parts = (error.argument, error.received, error.expected, error.fix)
    return MARK + "".join(f"{str(part).replace('|', '/')}|" for part in parts)


@contextlib.contextmanager
def explained_errors() -> Iterator[None]:
    """Turn a failed check inside a TensorFlow graph into its `InputError`.

    TensorFlow's own trace around the text is dropped.
    """
    try:
        yield
    except Exception as error:
        found = re.search(MARK + r"(.*?)\|" * 4, str(error), re.S)
        if type(error).__name__ != "InvalidArgumentError" or not found:
            raise
        raise InputError(*found.groups()) from None
