"""Smaller students: fewer weights, fewer values, fewer bits."""

from collections.abc import Sequence
from functools import partial
from typing import Any

import keras

from keras_ft import heads
from keras_ft.compression.fine_tuning import DistillationLoss
from keras_ft.compression.fine_tuning import fine_tune
from keras_ft.compression.pruning_and_clustering import clusterable
from keras_ft.compression.pruning_and_clustering import copy_network
from keras_ft.compression.pruning_and_clustering import is_clustered
from keras_ft.compression.pruning_and_clustering import is_pruned
from keras_ft.compression.pruning_and_clustering import kernels
from keras_ft.compression.pruning_and_clustering import prunable
from keras_ft.compression.pruning_and_clustering import pruning_callbacks
from keras_ft.compression.pruning_and_clustering import strip_clustering
from keras_ft.compression.pruning_and_clustering import strip_pruning
from keras_ft.compression.quantization_aware import keep_zeros_and_clusters
from keras_ft.compression.quantization_aware import quantizable
from keras_ft.compression.quantization_aware import set_activation_ranges
from keras_ft.compression.stages import COMPRESSIONS
from keras_ft.errors import InputError
from keras_ft.export.tf_keras_bridge import to_tf_keras
from keras_ft.models.teacher_pass import images_of
from keras_ft.validation import parameters
from keras_ft.validation.data import data_size
from keras_ft.validation.installed import require_tensorflow_backend
from keras_ft.validation.models import check_model
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

# Batches on which the ranges of activations are measured before they train.
_MEASURED = 8
_CONSTRAINTS = {
    "method": OneOf(
        tuple(COMPRESSIONS),
        fix='Start with "qat", the smallest file for the least accuracy.',
    ),
    "epochs": Interval(int, 1, 10**6, fix="Use epochs=5."),
    "learning_rate": Interval(
        float, 0, 10, closed="neither", fix="Use learning_rate=1e-3."
    ),
    "steps_per_epoch": Interval(
        int, 1, 10**9, optional=True, fix="Use steps_per_epoch=None."
    ),
    "sparsity": Interval(
        float, 0, 1, closed="neither", fix="Use sparsity=0.5."
    ),
    "clusters": Interval(int, 3, 256, fix="Use clusters=16."),
}


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
        stage. It returns logits, also where the student ends in a softmax or
        sigmoid: the export puts that behind them.

    Raises:
        InputError: An argument is of no use, before anything is trained; a
            batch or a loss that is not finite, before it changes anything.

    Example:

    >>> model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    >>> model.compile("sgd", loss)
    >>> small = keras_ft.compression.compress(
    ...     model, "qat", data.train, verbose=0)
    >>> result = keras_ft.export.to_tflite(
    ...     small, "student.tflite", "int8", calibration=data.train,
    ...     normalization=data.normalization)
    """
    require_tensorflow_backend(
        "keras_ft.compression.compress",
        "Save the student as .keras and compress it where TensorFlow is.",
    )
    parameters.check(
        _CONSTRAINTS,
        {
            "method": method,
            "epochs": epochs,
            "learning_rate": learning_rate,
            "steps_per_epoch": steps_per_epoch,
            "sparsity": sparsity,
            "clusters": clusters,
        },
    )
    _check_dataset("train", train)
    if validation is not None:
        _check_dataset("validation", validation)
    check_model("model", model)
    steps = steps_per_epoch or _steps_per_epoch(train)
    loss = DistillationLoss(model, train)
    loss.check(train)
    if validation is not None:
        loss.check(validation)
    network = _in_tf_keras(heads.logits_model(loss.student), start, seed)
    tune = partial(
        fine_tune,
        loss=loss,
        train=train,
        epochs=epochs,
        steps=steps,
        learning_rate=learning_rate,
        validation=validation,
        verbose=verbose,
    )
    stages = COMPRESSIONS[method]
    if "quantize" in stages:
        quantizable(network)  # refuses before an earlier stage trains
    history = None
    with loss.transfers_put_back():
        for stage in stages:
            if stage == "prune" and not is_pruned(network, sparsity):
                wrapped = prunable(network, sparsity, epochs * steps)
                needed = pruning_callbacks()
                history = tune(wrapped, callbacks=[*needed, *callbacks])
                network = strip_pruning(wrapped)
            if stage == "cluster" and not is_clustered(network, clusters):
                wrapped = clusterable(network, clusters)
                history = tune(wrapped, callbacks=callbacks)
                network = strip_clustering(wrapped)
            if stage == "quantize":
                wrapped = quantizable(network)
                set_activation_ranges(
                    wrapped,
                    network,
                    (images_of(batch[0]) for batch in train.take(_MEASURED)),
                )
                restore = None
                if len(stages) > 1:
                    restore = keep_zeros_and_clusters(
                        wrapped,
                        kernels(network),
                        zeros="prune" in stages,
                        clusters="cluster" in stages,
                    )
                history = tune(wrapped, callbacks=callbacks, after_step=restore)
                network = wrapped
    loss.compile_for_evaluation(network)
    network.history = history
    return network


def _check_dataset(argument: str, data: Any) -> None:
    """Refuse anything but a dataset of pairs or triples."""
    spec = getattr(data, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise InputError(
            argument,
            f"a {type(data).__name__}"
            + ("" if spec is None else " without labels"),
            "a tf.data.Dataset of batches (x, y) or (x, y, sample_weight)",
            "Pass data.train, or "
            "tf.data.Dataset.from_tensor_slices((x, y)).batch(128).",
        )


def _steps_per_epoch(train: Any) -> int:
    steps = data_size(train)
    if steps is None:
        raise InputError(
            "The dataset `train` is of unknown or infinite size. Pass "
            "steps_per_epoch=..., the number of batches per epoch."
        )
    return steps


def _in_tf_keras(student: keras.Model, start: Any, seed: int) -> Any:
    """Copy a student to a flat `tf_keras` network.

    Args:
        student: The Keras 3 student; mixed precision becomes float32.
        start: A `tf_keras` network of the same layers, whose weights are
            taken instead; or None.
        seed: Of the dropout layers.

    Raises:
        InputError: `start` is another network, or a quantized one.
    """
    network = to_tf_keras(student, flat=True)
    network = copy_network(network, seed=seed)
    if start is not None:
        if _weight_shapes(start) != _weight_shapes(network):
            raise InputError(
                "start",
                repr(getattr(start, "name", start)),
                f"a pruned or clustered '{student.name}' in tf_keras",
                "Pass what compress() returned for this student; what was "
                "quantized cannot be compressed further.",
            )
        network.set_weights(start.get_weights())
    return network


def _weight_shapes(network: Any) -> dict[str, list[tuple[int, ...]]]:
    return {
        layer.name: [tuple(weight.shape) for weight in layer.weights]
        for layer in getattr(network, "layers", ())
        if layer.weights
    }
