"""Does a model in tf_keras compute what the Keras 3 model computes?"""

from collections.abc import Iterator
from typing import Any

import keras
import numpy as np

from keras_ft.export.errors import BridgeError

# Of a sample's largest output. Both packages call the same TensorFlow kernels
# in another order; trained zoo networks differ by about 1e-6.
TOLERANCE = 1e-4
# Outputs below are all rounding errors of what cancelled out before.
_SMALL = 1e-3
_SAMPLES = 4
_FREE = 64  # pixels or steps, where a dimension is free


def check_same_outputs(reference: keras.Model, bridged: Any) -> float:
    """Compare both models on random inputs, in inference.

    Once on inputs like normalized images, once like pixels 0..255: where a
    `Rescaling` is inside, the former would be nearly constant images.

    Args:
        reference: The Keras 3 model, computing in float32.
        bridged: The tf_keras model.

    Returns:
        The largest difference, as a share of the largest output of the same
        sample.

    Raises:
        BridgeError: It is above 1e-4; names the first layer that differs,
            or the model where layers cannot be told apart.
    """
    worst = 0.0
    for inputs in _random_inputs(reference):
        try:
            difference = _difference(reference, bridged, inputs)
        except Exception as error:  # TensorFlow's are of many classes
            raise BridgeError(
                reference.name,
                f"does not run on random inputs ({error})"[:500],
                "Call it on an array to see whether it runs in Keras.",
            ) from error
        if difference > TOLERANCE:
            raise BridgeError(
                _first_difference(reference, bridged, inputs),
                f"outputs that differ by {difference:.2g} of the largest "
                f"output, more than {TOLERANCE:g}",
                "Replace it by another layer; tf_keras computes it otherwise.",
            )
        worst = max(worst, difference)
    return worst


def _random_inputs(model: keras.Model) -> Iterator[list[np.ndarray]]:
    random = np.random.default_rng(0)
    words = [
        layer.input_dim
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.Embedding)
    ]
    integers = min(words, default=256)
    for low, high in ((-2.0, 2.0), (0.0, 255.0)):
        inputs = []
        for tensor in model.inputs:
            batch, *rest = tensor.shape
            shape = (batch or _SAMPLES, *(size or _FREE for size in rest))
            if keras.backend.is_float_dtype(tensor.dtype) and not words:
                values = random.uniform(low, high, shape).astype("float32")
            else:
                values = random.integers(0, integers, shape)
                values = values.astype(tensor.dtype)
            inputs.append(values)
        yield inputs


def input_structure(model: keras.Model) -> Any:
    """Return a model's inputs as it takes them: one, a list or a dictionary."""
    # A Sequential model's `input` is where it is called, if it is part of
    # another model.
    if isinstance(model, keras.Sequential):
        return model.inputs[0]
    return model.input


def _difference(
    reference: keras.Model, bridged: Any, inputs: list[np.ndarray]
) -> float:
    """Return the largest of any output, as a share of its sample's."""
    arguments = keras.tree.pack_sequence_as(input_structure(reference), inputs)
    expected = keras.tree.flatten(reference(arguments, training=False))
    received = keras.tree.flatten(bridged(arguments, training=False))
    return max(
        _relative(np.asarray(ours), np.asarray(theirs))
        for ours, theirs in zip(expected, received, strict=True)
    )


def _relative(expected: np.ndarray, received: np.ndarray) -> float:
    if expected.shape != received.shape:
        return float("inf")
    expected = expected.astype(np.float64).reshape(len(expected), -1)
    received = received.astype(np.float64).reshape(len(received), -1)
    # On pixels an activation may overflow, but then in both.
    finite = np.isfinite(expected)
    overflows = expected[~finite], received[~finite]
    alike = np.array_equal(*overflows, equal_nan=True)
    if not (alike and np.isfinite(received[finite]).all()):
        return float("inf")
    expected = np.where(finite, expected, 0.0)
    errors = np.abs(expected - np.where(finite, received, 0.0))
    scales = np.maximum(np.abs(expected).max(axis=1), _SMALL)
    return float((errors.max(axis=1) / scales).max())


def _first_difference(
    reference: keras.Model, bridged: Any, inputs: list[np.ndarray]
) -> str:
    """Return the name of the layer to blame, as far as it can be told."""
    import tf_keras

    for layer in reference.layers:
        # The outputs of the others may belong to another graph.
        if isinstance(layer, keras.Model) or len(layer._inbound_nodes) != 1:
            continue
        ours = keras.Model(reference.inputs, layer.output)
        theirs = tf_keras.Model(
            bridged.inputs, bridged.get_layer(layer.name).output
        )
        if _difference(ours, theirs, inputs) > TOLERANCE:
            return str(layer.name)
    return str(reference.name)
