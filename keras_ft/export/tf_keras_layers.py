"""Keras 3 layers as tf_keras layers, one by one, by their configurations.

Only layers that were compared are let through: tf_keras may know another
layer or activation under the same name and compute something else. An option
that tf_keras lacks is refused unless it asks for nothing special.
"""

import inspect
from typing import Any

import keras

from keras_ft.export.errors import BridgeError

_1D_TO_3D = (
    "AveragePooling Conv Cropping GlobalAveragePooling GlobalMaxPooling "
    "MaxPooling SpatialDropout UpSampling ZeroPadding".split()
)
LAYERS = frozenset(
    f"{kind}{rank}D" for kind in _1D_TO_3D for rank in (1, 2, 3)
) | frozenset(
    "Activation ActivityRegularization Add AlphaDropout Average "
    "BatchNormalization Bidirectional CenterCrop Concatenate "
    "Conv1DTranspose Conv2DTranspose Conv3DTranspose Dense DepthwiseConv1D "
    "DepthwiseConv2D Dot Dropout ELU EinsumDense Embedding Flatten GRU "
    "GaussianDropout GaussianNoise GroupNormalization Identity LSTM "
    "LayerNormalization LeakyReLU Maximum Minimum MultiHeadAttention "
    "Multiply Normalization PReLU Permute RandomBrightness RandomContrast "
    "RandomFlip RandomRotation RandomTranslation RandomZoom ReLU "
    "RepeatVector Rescaling Reshape Resizing SeparableConv1D "
    "SeparableConv2D SimpleRNN Softmax Subtract TimeDistributed "
    "UnitNormalization".split()
)
ACTIVATIONS = frozenset(
    "elu exponential gelu leaky_relu linear log_softmax mish relu relu6 "
    "selu sigmoid silu softmax softplus softsign tanh".split()
)
_REGULARIZERS = frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"})
_CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}

# Of two tensors, or of one and a number, such as `x + 3.0`.
OPERATIONS = frozenset({"Add", "Subtract", "Multiply", "Divide", "TrueDivide"})
# As layers of their own; see `hard_activation`.
HARD_ACTIVATIONS = frozenset({"hard_sigmoid", "hard_silu"})

_HARD_SIGMOID = (
    "hard_sigmoid, which is relu6(x + 3) / 6 in Keras 3 and 0.2 x + 0.5, "
    "clipped, in tf_keras: up to 0.083 apart",
    "In a layer of its own, Activation('hard_sigmoid'), it is rebuilt to the "
    "same effect; elsewhere use Rescaling(1 / 6, 0.5) and ReLU(max_value=1).",
)


_REPLACE = "Replace it by layers that tf_keras has, and train again."
_REMEDIES = {
    "Masking": "Give it sequences without padding.",
    "RandomCrop": "Leave it to the data pipeline.",
    "Lambda": "Write it with stock layers such as Rescaling, Add or Reshape.",
    "RMSNormalization": "Use LayerNormalization, and train again.",
    "SpectralNormalization": "Use the layer it wraps, with the weights as "
    "they are after training.",
    "AdaptiveAveragePooling2D": "Use AveragePooling2D with a fixed pool_size, "
    "or GlobalAveragePooling2D.",
}


def check_layer(layer: Any) -> None:
    """Refuse what is no stock layer that both packages have.

    Raises:
        BridgeError: It is not one of `LAYERS`.
    """
    kind = type(layer).__name__
    if is_arithmetic(layer):
        return
    if not isinstance(layer, keras.layers.Layer):
        raise BridgeError(
            layer.name,
            f"an operation ({kind}) outside of a layer",
            "Use the layer instead, such as ReLU, Reshape or Softmax. "
            "Masking and mask_zero add operations, too.",
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
            f"a {kind} layer, which tf_keras lacks or computes differently",
            _REMEDIES.get(kind, _REPLACE),
        )


def is_arithmetic(operation: Any) -> bool:
    """Return whether it is an operation, no layer, of `OPERATIONS`."""
    module = type(operation).__module__
    stock = module.startswith("keras.src.ops.")
    return stock and type(operation).__name__ in OPERATIONS


def arithmetic(operation: Any, name: str, args: Any) -> Any:
    """Return what an operation of `OPERATIONS` makes of tf_keras tensors.

    Two tensors are joined by a layer; a number is a `Rescaling`.

    Raises:
        BridgeError: There is no layer for it.
    """
    import tf_keras

    kind = type(operation).__name__
    numbers = [x for x in args if isinstance(x, (int, float))]
    if len(args) != 2 or len(numbers) == 2:
        raise BridgeError(operation.name, f"{kind} of {args}", _REPLACE)
    if not numbers:
        if "Divide" in kind:
            raise BridgeError(
                operation.name, "a division of two tensors", _REPLACE
            )
        return getattr(tf_keras.layers, kind)(name=name)(list(args))
    (number,) = numbers
    is_first = args[0] is number
    if "Divide" in kind and is_first:
        raise BridgeError(operation.name, "a division by a tensor", _REPLACE)
    scale, offset = {
        "Add": (1.0, number),
        "Subtract": (-1.0, number) if is_first else (1.0, -number),
        "Multiply": (number, 0.0),
    }.get(kind, (1.0 / number if number else 0.0, 0.0))
    layer = tf_keras.layers.Rescaling(scale, offset, name=name)
    return layer(args[1] if is_first else args[0])


def is_hard_activation(layer: Any) -> bool:
    """Return whether it is an `Activation` of `HARD_ACTIVATIONS`."""
    return type(layer) is keras.layers.Activation and _hard_name(layer) != ""


def _hard_name(layer: Any) -> str:
    name = getattr(layer.activation, "__name__", "")
    return name if name in HARD_ACTIVATIONS else ""


def hard_activation(layer: Any, name: str, tensor: Any) -> Any:
    """Return relu6(x + 3) / 6, times x for hard_silu, of stock layers.

    tf_keras has another hard_sigmoid and no hard_silu, also called hard_swish.
    TensorFlow Lite's converter makes one operation of these.
    """
    import tf_keras

    is_silu = _hard_name(layer) == "hard_silu"
    x = tf_keras.layers.Rescaling(1.0, 3.0, name=f"{name}/shift")(tensor)
    x = tf_keras.layers.ReLU(6.0, name=f"{name}/clip")(x)
    last = f"{name}/scale" if is_silu else name
    x = tf_keras.layers.Rescaling(1 / 6, name=last)(x)
    if is_silu:
        x = tf_keras.layers.Multiply(name=name)([tensor, x])
    return x


def tf_keras_layer(layer: Any, name: str, trainable: bool) -> Any:
    """Build the tf_keras layer that does what a Keras 3 layer does.

    Args:
        layer: A Keras 3 layer that is no model.
        name: Name of the new layer.
        trainable: Whether its weights are to be trained.

    Returns:
        A layer in float32, not built: it has no weights yet.

    Raises:
        BridgeError: There is none, or not with these options.
    """
    check_layer(layer)
    config = {**layer.get_config(), "name": name, "trainable": trainable}
    return _LayerBuilder(layer.name).build(type(layer), config)


class _LayerBuilder:
    """Build a layer and those that it wraps; errors name the outer one."""

    def __init__(self, name: str) -> None:
        self._name = name

    def build(self, kind: Any, config: dict[str, Any]) -> Any:
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
        # Padding alone is computed anywhere: identity shortcuts pad channels.
        if config.get("data_format") == "channels_first" and (
            kind is not keras.layers.ZeroPadding2D
        ):
            raise self._refusal(
                "channels_first, which tf_keras computes on GPUs only",
                "Build the network with channels_last.",
            )
        for key, value in config.items():
            renamed = _RENAMED.get((kind.__name__, key), key)
            if renamed in accepted:
                options[renamed] = self._value(key, value)
            elif not _is_default(kind, key, value):
                raise self._refusal(
                    f"its option {key}={value!r}, which tf_keras lacks"
                )
        return options

    def _value(self, key: str, value: Any) -> Any:
        """Return the option's value in tf_keras' classes."""
        if key == "dtype":
            return "float32"
        if key.endswith("_initializer"):
            # Weights are copied. Random ones would cost time, and numbers of
            # Python's generator, from which Keras 3 draws its seeds.
            return "zeros"
        if key.endswith("activation"):
            return self._activation(value)
        if key == "stateful" and value:
            raise self._refusal(
                "its option stateful=True",
                "Build it without, and give it whole sequences.",
            )
        if isinstance(value, dict) and "class_name" in value:
            return self._object(key, value)
        return value

    def _activation(self, value: Any) -> Any:
        if value is None or isinstance(value, str) and value in ACTIVATIONS:
            return value
        if value == "hard_sigmoid":
            raise self._refusal(*_HARD_SIGMOID)
        if isinstance(value, dict):  # a function of the user's, or a layer
            named = value["class_name"] == "function"
            value = value["config" if named else "class_name"]
        raise self._refusal(
            f"the activation {value}, which tf_keras lacks",
            f"Use one of {', '.join(sorted(ACTIVATIONS))}; a layer such as "
            "LeakyReLU stands after this one, not in it.",
        )

    def _object(self, key: str, value: dict[str, Any]) -> Any:
        """Build what Keras wrote as a class and its configuration."""
        import tf_keras

        name, config = value["class_name"], value["config"]
        is_stock = value.get("module") == "keras.layers" and name in LAYERS
        if key in ("layer", "backward_layer") and is_stock:
            return self.build(getattr(keras.layers, name), config)
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
    """Return all that a tf_keras class and its base classes take."""
    import tf_keras

    names = {
        name
        for kind in counterpart.__mro__
        for name in inspect.signature(kind.__init__).parameters
    }
    if issubclass(counterpart, tf_keras.layers.RNN):
        names.add("zero_output_for_mask")  # hidden in its **kwargs
    return names


def _is_default(kind: Any, key: str, value: Any) -> bool:
    """Return whether an option that tf_keras lacks asks for nothing."""
    if key == "seed":
        return True
    if key == "data_format":
        return bool(value == "channels_last")
    parameter = inspect.signature(kind.__init__).parameters.get(key)
    if parameter is None:
        return value is None or value is False
    return bool(value == parameter.default)
