"""A Keras 3 model as a tf_keras model, for tools that know only the latter.

tensorflow_model_optimization refuses Keras 3, and tf_keras reads none of its
files. This walks a live model's graph and builds the same network of tf_keras
layers; tf_keras reads no file.
"""

from typing import Any

import keras
import numpy as np

from keras_ft.errors import InputError
from keras_ft.export.errors import BridgeError
from keras_ft.export.student import in_float32
from keras_ft.export.tf_keras_layers import arithmetic
from keras_ft.export.tf_keras_layers import check_layer
from keras_ft.export.tf_keras_layers import hard_activation
from keras_ft.export.tf_keras_layers import is_arithmetic
from keras_ft.export.tf_keras_layers import is_hard_activation
from keras_ft.export.tf_keras_layers import tf_keras_layer
from keras_ft.export.tf_keras_parity import check_same_outputs
from keras_ft.export.tf_keras_parity import input_structure
from keras_ft.validation.installed import require_package
from keras_ft.validation.installed import require_tensorflow_backend


def to_tf_keras(model: keras.Model, *, flat: bool = False) -> Any:
    """Rebuild a model in tf_keras, and prove that it computes the same.

    Layers keep their names, weights, regularizers, constraints and whether
    they are trainable. Initializers are dropped: weights are copied. Both
    models are run on random inputs before the new one is handed over, and
    must not differ by more than 1e-4 of a sample's largest output.

    In training, tf_keras' fused batch normalization moves its variance
    towards n / (n - 1) of what Keras 3 takes, where n values of a channel
    are in a batch; Dropout and augmentation draw other random numbers. What
    was called with `training=False` trains as in Keras 3.15, which writes
    that down for every Dropout and forgets it while it trains.

    Importing tf_keras changes no environment variable, and `tf.keras` stays
    Keras 3.

    Args:
        model: A Functional or Sequential model of stock layers; nested
            models, shared layers and several inputs are welcome. It is not
            changed.
        flat: Put the layers of nested models in the place of the model,
            under the names that taps use, such as `"backbone/conv1"`.

    Returns:
        A Functional `tf_keras.Model` that computes in float32, whatever the
        precision of `model`.

    Raises:
        BridgeError: A layer or an option has no counterpart, or computes
            something else in tf_keras; names it, and a remedy.
        PrecisionError: The model was quantized by Keras.
        InputError: There is no tf_keras here, or no model was given.

    Example:

    >>> student = keras_ft.zoo.resnet20()
    >>> keras_ft.export.to_tf_keras(student).get_layer("stage3").output.shape
    TensorShape([None, 8, 8, 64])
    """
    what = "keras_ft.export.to_tf_keras"
    instead = "Save the model as .keras and go on where TensorFlow is."
    require_tensorflow_backend(what, instead)
    require_package("tf_keras", what, "tf_keras", instead)
    if not isinstance(model, keras.Model):
        raise InputError(
            "model",
            f"a {type(model).__name__}",
            "a Keras 3 model",
            "Load it with keras.models.load_model.",
        )
    _check_model(model)
    reference = in_float32(model)
    bridged = _Bridge(flat).model(model)
    check_same_outputs(reference, bridged)
    return bridged


def _check_model(model: Any) -> None:
    """Refuse a model that is not all graph and stock layers, at any depth."""
    if type(model) is keras.Sequential:
        parts = model.layers
        if not model.built:
            raise BridgeError(
                model.name,
                "a Sequential model that was never built",
                "Add keras.Input(shape) as its first layer.",
            )
    elif _is_functional(model):
        parts = model.operations
    else:
        check_layer(model)
        return
    for part in parts:
        if not isinstance(part, keras.layers.InputLayer):
            _check_model(part)


def _is_functional(layer: Any) -> bool:
    # `keras.Model(inputs, outputs)` is of a private class. A class derived
    # from it may compute something else than its graph says.
    kind = type(layer)
    return (
        isinstance(layer, keras.Model)
        and kind.__name__ == "Functional"
        and kind.__module__.startswith("keras.src.")
    )


class _Bridge:
    """Build tf_keras layers while walking a Keras 3 model.

    Args:
        flat: Whether layers of nested models take the place of the model.
    """

    def __init__(self, flat: bool) -> None:
        self._flat = flat
        # By identity: a layer that is called twice becomes one layer.
        self._made: dict[int, Any] = {}

    def model(self, model: keras.Model, trainable: bool = True) -> Any:
        import tf_keras

        inputs = [_input(tensor) for tensor in model.inputs]
        outputs = self._run(model, inputs, "", trainable)
        structure = input_structure(model)
        return tf_keras.Model(
            keras.tree.pack_sequence_as(structure, inputs),
            outputs,
            name=model.name,
        )

    def _run(
        self,
        model: keras.Model,
        inputs: list[Any],
        prefix: str,
        trainable: bool,
    ) -> Any:
        """Return what the model makes of tf_keras tensors."""

        def call(layer: Any, *args: Any, **kwargs: Any) -> list[Any]:
            return self._call(
                layer,
                prefix + layer.name,
                args,
                kwargs,
                trainable and model.trainable,
            )

        if isinstance(model, keras.Sequential):
            (tensor,) = inputs
            for layer in model.layers:
                tensor = call(layer, tensor)[0]
            return tensor
        # Keras' own walk over the graph, with our tensors and our calls.
        return model._run_through_graph(inputs, call_fn=call)

    def _call(
        self,
        layer: Any,
        name: str,
        args: Any,
        kwargs: dict[str, Any],
        trainable: bool,
    ) -> list[Any]:
        kwargs = _call_keywords(layer, args, kwargs)
        if is_arithmetic(layer) or is_hard_activation(layer):
            return [self._several(layer, name, args)]
        is_model = isinstance(layer, keras.Model)
        if is_model and self._flat:
            inputs = _inputs_of(layer, args, kwargs)
            outputs = self._run(layer, inputs, f"{name}/", trainable)
            return list(keras.tree.flatten(outputs))
        known = id(layer) in self._made
        if not known and is_model:
            self._made[id(layer)] = self.model(layer, trainable)
        elif not known:
            self._made[id(layer)] = tf_keras_layer(
                layer, name, trainable and layer.trainable
            )
        made = self._made[id(layer)]
        try:
            outputs = made(*args, **kwargs)
            if not known and not is_model:
                _copy_weights(layer, made)
        except (TypeError, ValueError) as error:
            raise BridgeError(
                layer.name,
                f"tf_keras refuses how it is called ({error})",
                "Call it with plain tensors only.",
            ) from error
        return list(keras.tree.flatten(outputs))

    def _several(self, layer: Any, name: str, args: Any) -> Any:
        """Call layers that together do what one of Keras 3 does."""
        # They have no weights: what is called twice is made twice.
        calls = self._made.setdefault(id(layer), [])
        calls.append(layer)
        if len(calls) > 1:
            name = f"{name}_{len(calls) - 1}"
        if is_arithmetic(layer):
            return arithmetic(layer, name, args)
        return hard_activation(layer, name, args[0])


def _call_keywords(
    layer: Any, args: Any, kwargs: dict[str, Any]
) -> dict[str, Any]:
    """Return a call's keywords that say something, or refuse the call."""
    if kwargs.pop("training", None):
        raise BridgeError(
            layer.name,
            "it is called with training=True, also in inference",
            "Build the model without this argument.",
        )
    for leaf in keras.tree.flatten((args, kwargs)):
        # Symbolic tensors of tf_keras have no `numpy`.
        if isinstance(leaf, np.ndarray) or hasattr(leaf, "numpy"):
            raise BridgeError(
                layer.name,
                "it is called with a constant array",
                "Make it a weight, a Rescaling or an input.",
            )
    return {
        name: value
        for name, value in kwargs.items()
        if any(leaf is not None for leaf in keras.tree.flatten(value))
    }


def _inputs_of(model: keras.Model, args: Any, kwargs: Any) -> list[Any]:
    inputs = keras.tree.flatten([args, kwargs])
    if len(inputs) != len(model.inputs):
        raise BridgeError(
            model.name,
            f"it is called with {len(inputs)} arguments, but has "
            f"{len(model.inputs)} inputs",
            "Call it with its inputs only.",
        )
    return list(inputs)


def _input(tensor: Any) -> Any:
    import tf_keras

    config = tensor._keras_history.operation.get_config()
    for option in ("optional", "ragged", "sparse"):
        if config.get(option):
            raise BridgeError(
                config["name"],
                f"it is an input with {option}=True",
                "Build the model with a plain keras.Input.",
            )
    dtype = config["dtype"]
    return tf_keras.Input(
        batch_shape=config["batch_shape"],
        dtype="float32" if keras.backend.is_float_dtype(dtype) else dtype,
        name=config["name"],
    )


def _copy_weights(layer: Any, made: Any) -> None:
    # `weights` is without the state of random generators, which only some
    # layers have, and not the same in both packages.
    values = [np.asarray(weight) for weight in layer.weights]
    is_normalization = isinstance(layer, keras.layers.Normalization)
    if is_normalization and values:
        # The third counts the samples seen; older Keras does not have it.
        values[2:] = [np.zeros((), np.int64)]
    made.set_weights(values)
    if is_normalization:
        made.finalize_state()
