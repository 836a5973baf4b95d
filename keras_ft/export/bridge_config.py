"""A Keras 3 layer's configuration in the words of tf_keras.

Only what was compared is let through: a layer, activation or option that is
not named here is refused, because tf_keras may know it under the same name
and compute something else.
"""

import inspect
from typing import Any

import keras

from keras_ft.export.bridge_error import BridgeError

_1D_TO_3D = (
    "AveragePooling",
    "Cropping",
    "GlobalAveragePooling",
    "GlobalMaxPooling",
    "MaxPooling",
    "SpatialDropout",
    "UpSampling",
    "ZeroPadding",
    "Conv",
)
LAYERS = frozenset(
    f"{kind}{rank}D" for kind in _1D_TO_3D for rank in (1, 2, 3)
) | {
    "Activation",
    "ActivityRegularization",
    "Add",
    "AlphaDropout",
    "Average",
    "BatchNormalization",
    "Bidirectional",
    "CenterCrop",
    "Concatenate",
    "Conv1DTranspose",
    "Conv2DTranspose",
    "Conv3DTranspose",
    "Dense",
    "DepthwiseConv1D",
    "DepthwiseConv2D",
    "Dot",
    "Dropout",
    "ELU",
    "EinsumDense",
    "Embedding",
    "Flatten",
    "GRU",
    "GaussianDropout",
    "GaussianNoise",
    "GroupNormalization",
    "Identity",
    "LSTM",
    "LayerNormalization",
    "LeakyReLU",
    "Masking",
    "Maximum",
    "Minimum",
    "MultiHeadAttention",
    "Multiply",
    "Normalization",
    "PReLU",
    "Permute",
    "RandomBrightness",
    "RandomContrast",
    "RandomCrop",
    "RandomFlip",
    "RandomRotation",
    "RandomTranslation",
    "RandomZoom",
    "ReLU",
    "RepeatVector",
    "Rescaling",
    "Reshape",
    "Resizing",
    "SeparableConv1D",
    "SeparableConv2D",
    "SimpleRNN",
    "Softmax",
    "Subtract",
    "TimeDistributed",
    "UnitNormalization",
}
ACTIVATIONS = frozenset(
    {
        "elu",
        "exponential",
        "gelu",
        "leaky_relu",
        "linear",
        "log_softmax",
        "mish",
        "relu",
        "relu6",
        "selu",
        "sigmoid",
        "silu",
        "softmax",
        "softplus",
        "softsign",
        "tanh",
    }
)
_REGULARIZERS = frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"})
_CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}

_REPLACE = "Replace it by layers that tf_keras has, and train again."
_REMEDIES = {
    "Lambda": "Write it with stock layers such as Rescaling, Add or Reshape.",
    "RMSNormalization": "Use LayerNormalization, and train again.",
    "SpectralNormalization": "Use the layer it wraps, with the weights as "
    "they are after training.",
    "AdaptiveAveragePooling2D": "Use AveragePooling2D with a fixed pool_size, "
    "or GlobalAveragePooling2D.",
}
_HARD_SIGMOID = (
    "hard_sigmoid, which is relu6(x + 3) / 6 in Keras 3 and 0.2 x + 0.5, "
    "clipped, in tf_keras: up to 0.083 apart",
    "Use sigmoid and train again; or, to the same effect, Rescaling(1 / 6, "
    "0.5) and then ReLU(max_value=1).",
)


def tf_keras_layer(layer: Any, name: str, trainable: bool) -> Any:
    """The tf_keras layer that does what a Keras 3 layer does.

    Args:
        layer: A Keras 3 layer that is no model.
        name: Name of the new layer.
        trainable: Whether its weights are to be trained.

    Returns:
        A layer in float32, not built: it has no weights yet.

    Raises:
        BridgeError: There is none, or not with these options.

    Example:

    >>> tf_keras_layer(keras.layers.Dense(3), "head", True).units
    3
    """
    check_known(layer)
    translation = _Translation(layer.name)
    own = {"name": name, "trainable": trainable}
    return translation.layer(type(layer), {**layer.get_config(), **own})


def check_known(layer: Any) -> None:
    """Refuse what is no stock layer that both packages have.

    Raises:
        BridgeError: It is not one of `LAYERS`.

    Example:

    >>> check_known(keras.layers.Dense(3))
    """
    kind = type(layer).__name__
    if not isinstance(layer, keras.layers.Layer):
        raise BridgeError(
            layer.name,
            f"an operation ({kind}) outside of a layer",
            "Use the layer instead, such as Add, Multiply, ReLU, Reshape or "
            "Rescaling.",
        )
    if isinstance(layer, keras.Model):
        raise BridgeError(
            layer.name,
            f"a subclassed model ({kind})",
            "Rebuild it with the Functional API: keras.Model(inputs, outputs).",
        )
    if type(layer) is not getattr(keras.layers, kind, None):
        raise BridgeError(
            layer.name,
            f"a custom layer ({kind})",
            "Write it with stock Keras layers.",
        )
    if kind not in LAYERS:
        raise BridgeError(
            layer.name,
            f"a {kind} layer, which has no counterpart in tf_keras",
            _REMEDIES.get(kind, _REPLACE),
        )


class _Translation:
    """Of one layer, and of those that it wraps."""

    def __init__(self, name: str) -> None:
        self._name = name

    def layer(self, kind: Any, config: dict[str, Any]) -> Any:
        import tf_keras

        counterpart = getattr(tf_keras.layers, kind.__name__)
        options = self._options(kind, _parameters(counterpart), config)
        try:
            return counterpart(**options)
        except (TypeError, ValueError) as error:
            raise self._refusal(f"tf_keras refuses it ({error})") from error

    def _options(
        self, kind: Any, accepted: set[str], config: dict[str, Any]
    ) -> dict[str, Any]:
        options = {}
        for key, value in config.items():
            # Weights are copied, and some initializers have new options.
            if key.endswith("_initializer"):
                continue
            renamed = _RENAMED.get((kind.__name__, key), key)
            if renamed in accepted:
                options[renamed] = self._value(key, value)
            elif not _is_default(kind, key, value):
                raise self._refusal(
                    f"its option {key}={value!r}, which tf_keras lacks"
                )
        return options

    def _value(self, key: str, value: Any) -> Any:
        """The option's value, in tf_keras' classes."""
        if key == "dtype":
            return "float32"
        if key.endswith("activation"):
            return self._activation(value)
        if key == "data_format" and value == "channels_first":
            raise self._refusal(
                "channels_first, which tf_keras computes on GPUs only",
                "Build the network with channels_last.",
            )
        if key == "stateful" and value:
            raise self._refusal(
                "its option stateful=True",
                "Build it without, and give it whole sequences.",
            )
        if isinstance(value, dict) and "class_name" in value:
            return self._object(key, value)
        return value

    def _activation(self, value: Any) -> Any:
        if value is None or value in ACTIVATIONS:
            return value
        if value == "hard_sigmoid":
            raise self._refusal(*_HARD_SIGMOID)
        if isinstance(value, dict):
            value = value.get("registered_name") or value.get("class_name")
        raise self._refusal(
            f"the activation {value}, which tf_keras lacks",
            f"Use one of {', '.join(sorted(ACTIVATIONS))}, or a layer of its "
            "own for it.",
        )

    def _object(self, key: str, value: dict[str, Any]) -> Any:
        """What Keras wrote as a class and its configuration."""
        import tf_keras

        name, config = value["class_name"], value["config"]
        if key in ("layer", "backward_layer"):
            inner = keras.layers.deserialize(value)
            check_known(inner)
            return self.layer(type(inner), config)
        for suffix, module, known in (
            ("_regularizer", "regularizers", _REGULARIZERS),
            ("_constraint", "constraints", _CONSTRAINTS),
        ):
            ours = value.get("module") == f"keras.{module}" and name in known
            if key.endswith(suffix) and ours:
                return getattr(getattr(tf_keras, module), name)(**config)
        raise self._refusal(f"its option {key}={name}, which tf_keras lacks")

    def _refusal(self, reason: str, remedy: str = "") -> BridgeError:
        return BridgeError(
            self._name, reason, remedy or "Build the layer without it."
        )


def _parameters(counterpart: Any) -> set[str]:
    """Whatever a tf_keras class or one it is derived from takes."""
    return {
        name
        for kind in counterpart.__mro__
        for name in inspect.signature(kind.__init__).parameters
    }


def _is_default(kind: Any, key: str, value: Any) -> bool:
    """Whether an option that tf_keras lacks asks for nothing special."""
    if value is None or value is False or key == "seed":
        return True
    if key == "data_format":
        return bool(value == "channels_last")
    parameter = inspect.signature(kind.__init__).parameters.get(key)
    return parameter is not None and bool(parameter.default == value)
