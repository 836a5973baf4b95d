"""Does a bridged model say what the Keras 3 model says?"""

from typing import Any

import keras
import numpy as np

from keras_ft.export.bridge_error import BridgeError

# Of the largest output of a sample. Both packages call the same TensorFlow
# kernels in another order; zoo networks differ by about 1e-6.
TOLERANCE = 1e-4
_SAMPLES = 4
_FREE = 64  # pixels or steps, where a dimension is free


def check_same_outputs(
    reference: keras.Model, bridged: Any, seed: int = 0
) -> float:
    """Compare both models on random inputs, in inference.

    Half of the inputs are like normalised images, half like pixels 0..255:
    a `Rescaling` inside would turn either kind alone into nearly constant
    images.

    Args:
        reference: The Keras 3 model, computing in float32.
        bridged: The tf_keras model.
        seed: Of the inputs.

    Returns:
        The largest difference, as a share of the largest output of the same
        sample.

    Raises:
        BridgeError: It is above 1e-4; names the first layer that differs,
            or the model where layers cannot be told apart.

    Example:

    >>> check_same_outputs(model, to_tf_keras(model))
    4.1e-07
    """
    inputs = _random_inputs(reference, seed)
    try:
        differences = _differences(reference, bridged, inputs)
    except Exception as error:  # TensorFlow's are of many classes
        raise BridgeError(
            reference.name,
            f"a model that does not run on random inputs ({error})"[:500],
            "Call it on an array to see whether it runs in Keras.",
        ) from error
    worst = max(differences)
    if not worst <= TOLERANCE:
        raise BridgeError(
            _first_difference(reference, bridged, inputs),
            f"outputs that differ by {worst:.2g} of the largest output, more "
            f"than {TOLERANCE:g}",
            "Replace this layer by another; tf_keras computes it differently.",
        )
    return worst


def _random_inputs(model: keras.Model, seed: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    words = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
    ]
    inputs = []
    for tensor in model.inputs:
        batch, *rest = tensor.shape
        shape = (batch or _SAMPLES, *(size or _FREE for size in rest))
        values = random.normal(size=shape)
        values[::2] = random.uniform(0, 255, values[::2].shape)
        if words:
            values = random.integers(0, min(words), shape)
        elif not tensor.dtype.startswith(("float", "bfloat")):
            values = random.integers(
                0, 2 if tensor.dtype == "bool" else 256, shape
            )
        kept = tensor.dtype if values.dtype.kind == "i" else "float32"
        inputs.append(values.astype(kept))
    return inputs


def _differences(
    reference: keras.Model, bridged: Any, inputs: list[np.ndarray]
) -> list[float]:
    """Of each output."""
    arguments = keras.tree.pack_sequence_as(reference.input, inputs)
    expected = keras.tree.flatten(reference(arguments, training=False))
    received = keras.tree.flatten(bridged(arguments, training=False))
    return [
        _difference(np.asarray(ours), np.asarray(theirs))
        for ours, theirs in zip(expected, received, strict=True)
    ]


def _difference(expected: np.ndarray, received: np.ndarray) -> float:
    if expected.shape != received.shape:
        return float("inf")
    rows = (len(expected), -1)
    expected = expected.astype(np.float64).reshape(rows)
    received = received.astype(np.float64).reshape(rows)
    # Some activations overflow on pixels, then alike in both.
    same = (expected == received) | (np.isnan(expected) & np.isnan(received))
    with np.errstate(invalid="ignore"):
        errors = np.where(same, 0.0, np.abs(expected - received))
    finite = np.where(np.isfinite(expected), np.abs(expected), 0.0)
    scales = np.maximum(finite.max(axis=1), np.finfo(np.float32).tiny)
    return float((errors.max(axis=1) / scales).max())


def _first_difference(
    reference: keras.Model, bridged: Any, inputs: list[np.ndarray]
) -> str:
    """The layer to blame, as far as it can be told."""
    import tf_keras

    for layer in reference.layers:
        # The outputs of the others may belong to another graph.
        if isinstance(layer, keras.Model) or len(layer._inbound_nodes) != 1:
            continue
        ours = keras.Model(reference.inputs, layer.output)
        theirs = tf_keras.Model(
            bridged.inputs, bridged.get_layer(layer.name).output
        )
        if not max(_differences(ours, theirs, inputs)) <= TOLERANCE:
            return str(layer.name)
    return str(reference.name)
