"""Smaller students: fewer weights, fewer values, fewer bits."""

from collections.abc import Callable
from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from keras_ft.compression import clustering
from keras_ft.compression import pruning
from keras_ft.compression.activation_ranges import measure
from keras_ft.compression.fine_tuning import fine_tune
from keras_ft.compression.kept_kernels import KeptKernels
from keras_ft.compression.kernels import are_clustered
from keras_ft.compression.kernels import are_pruned
from keras_ft.compression.kernels import kernels
from keras_ft.compression.lesson import Lesson
from keras_ft.compression.preconditions import METHODS
from keras_ft.compression.preconditions import check_dataset
from keras_ft.compression.preconditions import check_request
from keras_ft.compression.preconditions import steps_of
from keras_ft.compression.quantizing import quantizable
from keras_ft.compression.starting_point import starting_point
from keras_ft.models.teacher_pass import images_of
from keras_ft.validation import preflight

# Batches on which the ranges of activations are measured before they train.
_MEASURED = 8


def compress(
    model: keras.Model,
    method: str,
    train: Any,
    *,
    epochs: int = 1,
    learning_rate: float = 1e-3,
    steps_per_epoch: int | None = None,
    validation: Any = None,
    sparsity: float = 0.5,
    clusters: int = 16,
    start: Any = None,
    seed: int = 0,
    callbacks: Sequence[Any] = (),
    verbose: Any = "auto",
) -> Any:
    """Train a trained student smaller, while its teacher still teaches it.

    tensorflow-model-optimization does not know Keras 3. The student is copied
    to `tf_keras`, compressed there stage by stage, and fine-tuned after each
    stage with the loss of its distiller: the Keras 3 teacher and the factor
    term run in the same step. Nothing handed in is changed; the translator
    trains on and is then put back.

    - `"prune"`: the smallest weights become zero. Half of them, unzipped, take
      as much room as before; zipped, as in an app, half as much.
    - `"cluster"`: each kernel has few different values; smaller when zipped.
    - `"qat"`: 8 bits, imitated in training. `to_tflite(..., "int8")` makes a
      file of it that computes with integers only.
    - `"pqat"`, `"cqat"`, `"pcqat"`: pruned, clustered, or one after the other,
      and then quantized; each stage keeps what the earlier ones made.

    Args:
        model: A `FactorTransfer` or other `Distiller`, whose student is
            compressed with its loss; or a student, with its labels alone.
        method: One of the above.
        train: A `tf.data.Dataset` of batches (x, y) or (x, y, sample_weight),
            as the student was trained on.
        epochs: Epochs of each stage, at least 1.
        learning_rate: Of Adam, between 0 and 10; it falls to zero along a half
            cosine in each stage.
        steps_per_epoch: Batches per epoch, where the dataset has no end.
        validation: A dataset to look at after each epoch, or None.
        sparsity: Share of zeros in each kernel of a pruned student, between 0
            and 1.
        clusters: Different values of each kernel of a clustered student, 3
            to 256.
        start: What an earlier call returned for the same student, pruned or
            clustered. Stages whose result it already has are left out, and
            zeros in it are kept by clustering.
        seed: Of dropout, if the student has any.
        callbacks: Callbacks of `tf_keras`.
        verbose: As in Keras' `fit`.

    Returns:
        A compiled Functional model of `tf_keras`, for `evaluate`, `predict`
        and `keras_ft.export.to_tflite`. After `"qat"` and what ends in it, it
        computes as the 8-bit file does. Its `history` is that of the last
        stage.

    Raises:
        InputError: An argument is of no use, before anything is trained; a
            batch or a loss that is not finite, before it changes anything.

    Example:

    >>> model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    >>> small = keras_ft.compression.compress(model, "qat", data.train)
    >>> keras_ft.export.to_tflite(
    ...     small, "student.tflite", "int8", calibration=data.train,
    ...     normalization=data.normalization)
    """
    check_request(method, epochs, learning_rate, sparsity, clusters)
    for argument, data in (("train", train), ("validation", validation)):
        if data is not None or argument == "train":
            check_dataset(argument, data)
    preflight.check_model("model", model)
    steps = steps_of(train, steps_per_epoch)
    lesson = Lesson(model, train)
    lesson.check(train)
    if validation is not None:
        lesson.check(validation)
    network = starting_point(lesson.student, start, seed)
    tune = partial(
        fine_tune,
        lesson=lesson,
        train=train,
        epochs=epochs,
        steps=steps,
        learning_rate=learning_rate,
        validation=validation,
        verbose=verbose,
    )
    stages: dict[str, Callable[[Any], tuple[Any, Any]]] = {
        "prune": partial(_prune, tune, callbacks, sparsity, epochs * steps),
        "cluster": partial(_cluster, tune, callbacks, clusters),
        "quantize": partial(_quantize, tune, callbacks, METHODS[method], train),
    }
    history = None
    with lesson.borrowed():
        for stage in METHODS[method]:
            network, history = stages[stage](network)
    lesson.compile(network)
    network.history = history
    return network


def _prune(
    tune: Callable[..., Any],
    callbacks: Sequence[Any],
    sparsity: float,
    steps: int,
    network: Any,
) -> tuple[Any, Any]:
    if are_pruned(network, sparsity):
        return network, None
    wrapped = pruning.prunable(network, sparsity, steps)
    history = tune(wrapped, callbacks=[*pruning.callbacks(), *callbacks])
    return pruning.stripped(wrapped), history


def _cluster(
    tune: Callable[..., Any],
    callbacks: Sequence[Any],
    clusters: int,
    network: Any,
) -> tuple[Any, Any]:
    if are_clustered(network, clusters):
        return network, None
    wrapped = clustering.clusterable(network, clusters)
    history = tune(wrapped, callbacks=callbacks)
    return clustering.stripped(wrapped), history


def _quantize(
    tune: Callable[..., Any],
    callbacks: Sequence[Any],
    stages: Sequence[str],
    train: Any,
    network: Any,
) -> tuple[Any, Any]:
    quantized = quantizable(network)
    batches = (images_of(batch[0]) for batch in train.take(_MEASURED))
    measure(quantized, network, batches)
    kept = KeptKernels(
        quantized,
        kernels(network),
        zeros="prune" in stages,
        clusters="cluster" in stages,
    )
    history = tune(quantized, callbacks=callbacks, after_step=kept.restore)
    return quantized, history
