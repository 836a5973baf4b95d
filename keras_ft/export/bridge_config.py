"""A Keras 3 layer's configuration in the words of tf_keras.

An option that tf_keras lacks is refused unless it asks for nothing special.
"""

import inspect
from typing import Any

import keras

from keras_ft.export.bridge_error import BridgeError
from keras_ft.export.bridge_layers import ACTIVATIONS
from keras_ft.export.bridge_layers import LAYERS
from keras_ft.export.bridge_layers import check_known

_REGULARIZERS = frozenset({"L1", "L2", "L1L2", "OrthogonalRegularizer"})
_CONSTRAINTS = frozenset({"MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"})
_RENAMED = {("LeakyReLU", "negative_slope"): "alpha"}

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
        """The option's value, in tf_keras' classes."""
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
        """What Keras wrote as a class and its configuration."""
        import tf_keras

        name, config = value["class_name"], value["config"]
        is_stock = value.get("module") == "keras.layers" and name in LAYERS
        if key in ("layer", "backward_layer") and is_stock:
            return self.layer(getattr(keras.layers, name), config)
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
    """Whether an option that tf_keras lacks asks for nothing special."""
    if key == "seed":
        return True
    if key == "data_format":
        return bool(value == "channels_last")
    parameter = inspect.signature(kind.__init__).parameters.get(key)
    if parameter is None:
        return value is None or value is False
    return bool(value == parameter.default)
