"""The softmax or sigmoid at a model's end, and the logits before it.

`keras.applications` and Keras' tutorials end classifiers in one. Distillation
compares logits, and an exported file has probabilities made of logits once.
"""

from typing import Any

import keras

from keras_ft.errors import InputError

ACTIVATIONS = ("softmax", "sigmoid")


def output_activations(model: keras.Model) -> tuple[str | None, ...]:
    """Name the activation that each output of a model ends in.

    It may be an option of the last layer, a layer of its own, an operation
    such as `keras.ops.softmax`, or lie in a model that is the last layer.

    Args:
        model: A built model. Of a subclassed one, which has no graph, the
            layer that was made last is looked at.

    Returns:
        `"softmax"` over the last axis, `"sigmoid"` or None for each output.

    Example:

    >>> from keras_ft import heads
    >>> network = keras.Sequential([
    ...     keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    >>> heads.output_activations(network)
    ('softmax',)
    """
    if not getattr(model, "outputs", None):
        layers = getattr(model, "layers", None)
        return (_name(layers[-1]) if layers else None,)
    return tuple(_activation_of(tensor) for tensor in model.outputs)


def output_activation(model: keras.Model) -> str | None:
    """Name the activation of a model's one output; None for several.

    Example:

    >>> from keras_ft import heads
    >>> heads.output_activation(keras_ft.zoo.resnet20()) is None
    True
    """
    names = output_activations(model)
    return names[0] if len(names) == 1 else None


def logits_model(model: keras.Model) -> keras.Model:
    """Return a model whose outputs are the logits of another's.

    It computes with the same variables, so that training either trains both,
    and its layers have the same names. The given model is not changed.

    Args:
        model: A built model.

    Returns:
        The model itself where no output ends in a softmax or a sigmoid.

    Raises:
        InputError: It ends in one, but cannot be taken apart.

    Example:

    >>> from keras_ft import heads
    >>> network = keras.Sequential([
    ...     keras.Input((8,)), keras.layers.Dense(3, activation="softmax")])
    >>> logits = heads.logits_model(network)(np.ones((1, 8)))
    >>> bool(np.allclose(keras.ops.softmax(logits), network(np.ones((1, 8)))))
    True
    """
    if not any(output_activations(model)):
        return model
    _check_has_graph(model)
    logits = [_split(tensor)[0] for tensor in model.outputs]
    return keras.Model(
        _inputs(model), _structured(model, logits), name=model.name
    )


def logits_and_outputs(model: keras.Model) -> keras.Model:
    """Return a model of the same variables with both, in one pass.

    Args:
        model: A built model with one output.

    Returns:
        A model whose output is the dictionary `{"logits", "outputs"}`.

    Raises:
        InputError: See `logits_model`.

    Example:

    >>> from keras_ft import heads
    >>> network = keras.Sequential([
    ...     keras.Input((8,)), keras.layers.Dense(1, activation="sigmoid")])
    >>> sorted(heads.logits_and_outputs(network)(np.ones((1, 8))))
    ['logits', 'outputs']
    """
    _check_has_graph(model)
    (tensor,) = model.outputs
    logits, outputs = _split(tensor)
    return keras.Model(
        _inputs(model),
        {"logits": logits, "outputs": outputs},
        name=model.name,
    )


def activate(activation: str | None, logits: Any) -> Any:
    """Return the outputs that an activation makes of logits.

    Example:

    >>> from keras_ft import heads
    >>> np.asarray(heads.activate("sigmoid", np.zeros((1, 1), "float32")))
    array([[0.5]], dtype=float32)
    """
    if activation is None:
        return logits
    # Keras' losses on probabilities find the logits again that these keep.
    return getattr(keras.activations, activation)(logits)


def _activation_of(tensor: Any) -> str | None:
    operation, _, index = tensor._keras_history
    if isinstance(operation, keras.Model):
        names = output_activations(operation)
        return names[index] if index < len(names) else None
    return _name(operation)


def _name(operation: Any) -> str | None:
    """Return the activation that a layer or operation ends in."""
    kind = type(operation).__name__
    axis = getattr(operation, "axis", -1)
    if kind == "Softmax":  # the layer as well as the operation
        return "softmax" if axis == -1 else None
    if kind == "Sigmoid":
        return "sigmoid"
    activation = getattr(operation, "activation", None)
    for name in ACTIVATIONS:
        if activation is getattr(keras.activations, name):
            return name
    # `Dense(10, activation=keras.layers.Softmax())`
    inside = isinstance(activation, keras.layers.Layer)
    return _name(activation) if inside else None


def _split(tensor: Any) -> tuple[Any, Any]:
    """Return the logits behind an output, and the output made of them."""
    operation, node_index, index = tensor._keras_history
    if _activation_of(tensor) is None:
        return tensor, tensor
    node = operation._inbound_nodes[node_index]
    arguments = node.arguments
    if isinstance(operation, keras.Model):
        if len(operation.outputs) > 1:
            raise _refusal(
                operation.name,
                f"a model of {len(operation.outputs)} outputs inside another",
            )
        _check_has_graph(operation)
        logits = logits_model(operation)(*arguments.args, **arguments.kwargs)
        (logits,) = keras.tree.flatten(logits)
        return logits, _activation_at(operation)(logits)
    if not _has_activation_option(operation):
        # The softmax is all that it does.
        return node.input_tensors[0], tensor
    linear = _linear_copy(operation)
    logits = linear(*arguments.args, **arguments.kwargs)
    return logits, _activation_layer(operation)(logits)


def _has_activation_option(operation: Any) -> bool:
    alone = (keras.layers.Activation, keras.layers.Softmax)
    return hasattr(operation, "activation") and not isinstance(operation, alone)


def _activation_at(model: keras.Model) -> Any:
    """Return a layer of the activation that a nested model ends in."""
    operation = model.outputs[0]._keras_history.operation
    if isinstance(operation, keras.Model):
        return _activation_at(operation)
    return _activation_layer(operation)


def _activation_layer(operation: Any) -> Any:
    policy = getattr(operation, "dtype_policy", None)
    return keras.layers.Activation(_name(operation), dtype=policy)


def _linear_copy(layer: keras.layers.Layer) -> keras.layers.Layer:
    """Return a layer without activation on the variables of another.

    A stock layer of the same kind, not one of ours: it is folded, converted
    and rebuilt in tf_keras like any other.
    """
    if getattr(layer, "activity_regularizer", None) is not None:
        raise _refusal(layer.name, "a last layer with an activity regularizer")
    config = {**layer.get_config(), "activation": "linear"}
    copy = type(layer).from_config(config)
    for name, value in vars(layer).items():
        # `bias` is None in a layer without one.
        missing = value is None and name not in vars(copy)
        if isinstance(value, keras.Variable) or missing:
            setattr(copy, name, value)
    copy.input_spec = layer.input_spec
    copy.built = True
    if len(copy.variables) != len(layer.variables):
        kind = type(layer).__name__
        raise _refusal(layer.name, f"a {kind} layer with layers of its own")
    return copy


def _inputs(model: keras.Model) -> Any:
    # One input as itself: Keras warns when [x] is then called with x.
    return model.inputs[0] if len(model.inputs) == 1 else model.input


def _structured(model: keras.Model, tensors: list[Any]) -> Any:
    if len(tensors) == 1:
        return tensors[0]
    return keras.tree.pack_sequence_as(model.output, tensors)


def _check_has_graph(model: keras.Model) -> None:
    if not (getattr(model, "inputs", None) and getattr(model, "outputs", None)):
        raise _refusal(model.name, "a subclassed model, which has no graph")


def _refusal(name: str, what: str) -> InputError:
    return InputError(
        f"'{name}' ends in a softmax or sigmoid that cannot be taken off: it "
        f"is {what}. Build it so that it returns logits: activation=None on "
        "the last layer."
    )
