"""Quantization-aware training: 8 bits are imitated while the network learns."""

from typing import Any

from keras_ft.compression.tfmot import tfmot

_FOLDING = ("Conv2D", "DepthwiseConv2D", "Dense")


def quantizable(network: Any) -> Any:
    """A copy of a network that computes as its 8-bit file will.

    A batch normalization right after a convolution is folded into it by the
    converter. Any other, as before the activation in a wide ResNet, is left
    in float here; the converter quantizes it when it is given calibration
    images.

    Args:
        network: A flat `tf_keras` network; it is not changed.

    Returns:
        The copy. A layer `name` is called `quant_name` in it.

    Raises:
        RuntimeError: tfmot does not know a layer.

    Example:

    >>> quantizable(network).get_layer("quant_stage3")
    <...QuantizeWrapperV2 object at ...>
    """
    import tf_keras

    quantization = tfmot().quantization.keras
    in_float = _in_float()
    folded = _folded_normalizations(network)

    def annotated(layer: Any) -> Any:
        alone = (
            type(layer).__name__ == "BatchNormalization"
            and layer.name not in folded
        )
        return quantization.quantize_annotate_layer(
            layer, in_float() if alone else None
        )

    with quantization.quantize_scope({in_float.__name__: in_float}):
        return quantization.quantize_apply(
            tf_keras.models.clone_model(network, clone_function=annotated)
        )


def _folded_normalizations(network: Any) -> set[str]:
    """Names of the batch normalizations that alone use a convolution."""
    users: dict[str, list[Any]] = {}
    for layer in network.layers:
        for name in _sources(layer):
            users.setdefault(name, []).append(layer)
    return {
        users[layer.name][0].name
        for layer in network.layers
        if type(layer).__name__ in _FOLDING
        and layer.activation.__name__ == "linear"
        and len(users.get(layer.name, ())) == 1
        and type(users[layer.name][0]).__name__ == "BatchNormalization"
    }


def _sources(layer: Any) -> list[str]:
    import tensorflow as tf

    if type(layer).__name__ == "InputLayer":
        return []
    tensors = tf.nest.flatten(layer.input)
    return [tensor.node.layer.name for tensor in tensors]


def _in_float() -> Any:
    class InFloat(tfmot().quantization.keras.QuantizeConfig):  # type: ignore[misc]
        """Imitates nothing."""

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

    return InFloat
