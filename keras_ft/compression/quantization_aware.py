"""Quantization-aware training: 8 bits are imitated while the network learns."""

from collections.abc import Callable
from collections.abc import Iterable
from typing import Any

import numpy as np

from keras_ft.compression.tfmot import tfmot
from keras_ft.errors import InputError

# That tfmot quantizes as layers; it refuses others.
_ACTIVATIONS = ("linear", "relu", "sigmoid", "softmax", "swish", "tanh")
_FOLDING = ("Conv2D", "DepthwiseConv2D", "Dense")


def quantizable(network: Any) -> Any:
    """Copy a network so that it computes as its 8-bit file will.

    A batch normalization right after a convolution is folded into it by the
    converter. Any other, as before the activation in a wide ResNet, is left
    in float here, and so is what tfmot does not know, such as a Rescaling of
    pixels or the products of a squeeze and excitation; the converter quantizes
    it when it is given calibration images.

    Args:
        network: A flat `tf_keras` network; it is not changed.

    Returns:
        The copy. A layer `name` is called `quant_name` in it.

    Raises:
        InputError: tfmot refuses a layer for another reason.
    """
    import tf_keras

    quantization = tfmot().quantization.keras
    float_config = _float_config()
    folded = _folded_normalizations(network)

    known = quantization.default_8bit.Default8BitQuantizeScheme()
    registry = known.get_quantize_registry()

    def is_float(layer: Any) -> bool:
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            return layer.name not in folded
        if kind == "Activation":
            return layer.activation.__name__ not in _ACTIVATIONS
        return not registry.supports(layer)

    def annotate(layer: Any) -> Any:
        in_float = is_float(layer)
        return quantization.quantize_annotate_layer(
            layer, float_config() if in_float else None
        )

    with quantization.quantize_scope({float_config.__name__: float_config}):
        try:
            return quantization.quantize_apply(
                tf_keras.models.clone_model(network, clone_function=annotate)
            )
        except (NotImplementedError, RuntimeError, ValueError) as error:
            reason = (str(error) or type(error).__name__).splitlines()[0]
            raise InputError(
                f"'{network.name}' cannot learn to compute in 8 bits: "
                f"tensorflow-model-optimization says {reason[:300]!r}. "
                'Compress it with "prune" or "cluster", or quantize it after '
                'training: to_tflite(student, ..., "int8").'
            ) from error


def _folded_normalizations(network: Any) -> set[str]:
    """Return the names of the normalizations that alone use a convolution."""
    users: dict[str, list[Any]] = {}
    for layer in network.layers:
        for name in _inputs(layer):
            users.setdefault(name, []).append(layer)
    return {
        users[layer.name][0].name
        for layer in network.layers
        if type(layer).__name__ in _FOLDING
        and layer.activation.__name__ == "linear"
        and len(users.get(layer.name, ())) == 1
        and type(users[layer.name][0]).__name__ == "BatchNormalization"
    }


def _inputs(layer: Any) -> list[str]:
    """Return the names of the layers whose outputs a layer takes."""
    import tensorflow as tf

    if type(layer).__name__ == "InputLayer":
        return []
    tensors = tf.nest.flatten(layer.input)
    return [tensor.node.layer.name for tensor in tensors]


def _float_config() -> Any:
    class FloatConfig(tfmot().quantization.keras.QuantizeConfig):  # type: ignore[misc]
        """Leave a layer in float."""

        def get_weights_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_activations_and_quantizers(self, layer: Any) -> list[Any]:
            return []

        def set_quantize_weights(self, layer: Any, weights: Any) -> None:
            pass

        def set_quantize_activations(
            self, layer: Any, activations: Any
        ) -> None:
            pass

        def get_output_quantizers(self, layer: Any) -> list[Any]:
            return []

        def get_config(self) -> dict[str, Any]:
            return {}

    return FloatConfig


def set_activation_ranges(
    quantized: Any, network: Any, batches: Iterable[Any]
) -> None:
    """Measure the ranges of activations before they are trained.

    tfmot lets every range begin at -6..6 and move by a thousandth of the way
    per step: a short training ends with ranges nobody measured, and clips
    what lies outside of them.

    Args:
        quantized: What `quantizable(network)` returned; its ranges are set.
        network: The float network.
        batches: Batches of its input. A range is the mean of the batches'
            extremes, and always contains 0.
    """
    import tensorflow as tf
    import tf_keras

    ranges = [
        (tensor, *variables)
        for layer in quantized.layers
        for tensor, variables in _ranges(layer, network)
    ]
    measured = tf_keras.Model(network.inputs, [found[0] for found in ranges])

    @tf.function(autograph=False)
    def extremes(images: Any) -> Any:
        tensors = tf.nest.flatten(measured(images, training=False))
        return tf.stack([[tf.reduce_min(x), tf.reduce_max(x)] for x in tensors])

    means = np.mean([extremes(images).numpy() for images in batches], axis=0)
    for (_, low, high), (smallest, largest) in zip(ranges, means, strict=True):
        low.assign(min(smallest, 0.0))
        high.assign(max(largest, 0.0))


def _ranges(layer: Any, network: Any) -> list[tuple[Any, tuple[Any, Any]]]:
    """Return tensors of the float network and the variables of their ranges."""
    variables = {
        weight.name.rsplit("/")[-1].split(":")[0]: weight
        for weight in layer.weights
    }
    tensors = {layer.name: network.input}
    inner = getattr(layer, "layer", None)
    if inner is not None:
        output = network.get_layer(inner.name).output
        tensors = {"output": output, "post_activation": output}
    return [
        (tensor, (variables[f"{name}_min"], variables[f"{name}_max"]))
        for name, tensor in tensors.items()
        if f"{name}_min" in variables
    ]


def keep_zeros_and_clusters(
    network: Any, kernels: dict[str, np.ndarray], zeros: bool, clusters: bool
) -> Callable[[], None]:
    """Return a function that brings kernels back to their zeros and clusters.

    A cluster moves as the mean of its weights does. tfmot has quantizers that
    keep both, but looks for the nearest of all centroids of every weight in
    every step, and clusters some kernels anew, channel by channel.

    Args:
        network: The network that trains; layers may be wrapped.
        kernels: The kernels as they were, by layer name.
        zeros: Whether zeros stay zero.
        clusters: Whether what is equal stays equal.

    Returns:
        A function without arguments, to be called inside the training step
        after the weights are updated.
    """
    found = [
        (kernel_variable(network, name), _projection(kernel, zeros, clusters))
        for name, kernel in kernels.items()
    ]

    def restore() -> None:
        for variable, project in found:
            variable.assign(project(variable))

    return restore


def _projection(
    kernel: np.ndarray, zeros: bool, clusters: bool
) -> Callable[[Any], Any]:
    import tensorflow as tf

    mask = (kernel != 0).astype(np.float32)
    values, places = np.unique(kernel, return_inverse=True)
    places = places.reshape(-1).astype(np.int32)

    def project(value: Any) -> Any:
        if clusters:
            flat = tf.reshape(value, [-1])
            means = tf.math.unsorted_segment_mean(flat, places, values.size)
            value = tf.reshape(tf.gather(means, places), kernel.shape)
        return value * mask if zeros else value

    return project


def kernel_variable(network: Any, name: str) -> Any:
    """Return the variable of a layer's kernel, wrapped by tfmot or not."""
    for layer in network.layers:
        if getattr(layer, "layer", layer).name == name:
            # `layer.kernel` is a tensor once a wrapper has been called.
            return next(
                weight
                for weight in layer.trainable_weights
                if weight.name.rsplit("/")[-1] == "kernel:0"
            )
    raise KeyError(name)
