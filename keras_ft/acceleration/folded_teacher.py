"""A frozen network compiled for inference: batch normalization folded away."""

import random
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.norm_folding import ChannelScale
from keras_ft.acceleration.norm_folding import fold_norms
from keras_ft.acceleration.norm_folding import folded_weights
from keras_ft.acceleration.norm_folding import is_norm
from keras_ft.acceleration.self_check import check
from keras_ft.acceleration.step import Step
from keras_ft.errors import InputError


def fold(
    network: keras.Model,
    dtype: str = "float32",
    keep: Sequence[int] | None = None,
) -> keras.Model:
    """Builds a network that computes the same in inference, faster.

    Batch normalization goes into the convolution or Dense layer before it
    where that feeds nothing else, and is a scale and a shift per channel
    elsewhere; dropout and noise are left out; nested models are opened. The
    new network is called once, on random images, and compared with the
    original.

    Args:
        network: A Functional or Sequential model, for example what
            `feature_extractor` returns. It is read and called, never changed.
        dtype: `"float32"`, or `"bfloat16"` for weights and activations in
            that type; see `gains_from_bfloat16`.
        keep: The outputs that are wanted, by their place in
            `network.outputs`; None for all. What only the others need is cut
            off, so that a pass can end at its taps.

    Returns:
        A Functional model, not trainable, in inference mode only. Its inputs
        and outputs are the original's, types included; with `keep`, a call
        returns the list of those kept, or the tensor where that is one. It
        shares no variable and no node with the original: after the original's
        weights changed, call `refold`.

    Raises:
        NotFoldableError: A layer cannot be copied, keeps state, adds losses
            or computes in another type than float32 (bfloat16 is fine for
            bfloat16); or the comparison missed its bound: 1e-4 relative in
            float32, a cosine of 0.9995 per example in bfloat16.
        InputError: `dtype` is neither.

    Example:

    >>> teacher = keras_ft.zoo.resnet56()
    >>> tap = find_tap(teacher, None, "teacher_layer")
    >>> watched = feature_extractor(teacher, [tap])
    >>> fast = fold(watched, keep=[0])  # features only, no head
    """
    if dtype not in ("float32", "bfloat16"):
        raise InputError(
            "dtype", repr(dtype), '"float32" or "bfloat16"', "Pass one."
        )
    # Initial weights draw their seeds from Python's generator, and are thrown
    # away: the caller's next layers must not differ for it.
    state = random.getstate()
    try:
        flat = _plan(network, dtype, keep)
        folded = _build(flat, dtype, keep)
        _check_apart(flat, folded)
        _assign(flat, folded)
        folded.trainable = False
        check(flat, folded, dtype, keep)
    finally:
        random.setstate(state)
    return folded


def refold(
    folded: keras.Model,
    network: keras.Model,
    keep: Sequence[int] | None = None,
) -> None:
    """Gives a folded network the weights that the original has now.

    Only assigns: compiled functions that use `folded` stay valid. Nothing is
    compared again.

    Args:
        folded: What `fold` returned.
        network: The network it was folded from.
        keep: As it was given to `fold`.

    Raises:
        InputError: `folded` was made from another network.

    Example:

    >>> teacher.load_weights("better.weights.h5")
    >>> refold(fast, watched, keep=[0])
    """
    flat = _plan(network, "bfloat16", keep)
    names = {step.name for step in flat.layers()}
    known = {
        layer.name
        for layer in folded.layers
        if not isinstance(layer, keras.layers.InputLayer)
    }
    if names != known:
        raise InputError(
            "folded",
            f"'{folded.name}', whose layers are others",
            f"what fold('{network.name}') returned, and the same `keep`",
            "Fold the network again.",
        )
    _assign(flat, folded)


def _plan(
    network: keras.Model, dtype: str, keep: Sequence[int] | None
) -> FlatGraph:
    flat = FlatGraph(network, keep)
    for step in flat.layers():
        layer = step.operation
        if layer.compute_dtype not in ("float32", dtype):
            raise flat.refuse(f"{step} computes in {layer.compute_dtype}")
        if layer.quantization_mode or getattr(layer, "lora_enabled", False):
            raise flat.refuse(f"{step} is quantized or has LoRA weights")
        if getattr(layer, "stateful", False):
            raise flat.refuse(f"{step} keeps state")
    fold_norms(flat)
    return flat


def _build(
    flat: FlatGraph, dtype: str, keep: Sequence[int] | None
) -> keras.Model:
    """The new network, with fresh weights."""
    network = flat.network
    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)
        for x in network.inputs
    ]
    values = _replay(flat, inputs, dtype)
    outputs = [
        values[number]
        if values[number].dtype == tensor.dtype
        else ops.cast(values[number], tensor.dtype)
        for number, tensor in zip(
            flat.outputs, _kept(network.outputs, keep), strict=True
        )
    ]
    inside = _packed(network, "_inputs_struct", inputs)
    if keep is None:
        outputs = _packed(network, "_outputs_struct", outputs)
    return keras.Model(inside, outputs, name=f"{network.name}_folded")


def _replay(flat: FlatGraph, inputs: list[Any], dtype: str) -> dict[int, Any]:
    """Calls a copy of each operation; returns every tensor by number."""
    values = dict(zip(flat.inputs, inputs, strict=True))
    copies: dict[int, Any] = {}
    for step in flat.steps:
        key = id(step.operation)
        try:
            if key not in copies:
                copies[key] = _copy(step, dtype)
            args, kwargs = flat.arguments(step, values)
            results = keras.tree.flatten(copies[key](*args, **kwargs))
        except Exception as error:  # whatever a layer of the user's raises
            lines = str(error).strip().splitlines() or [""]
            raise flat.refuse(
                f"{step} cannot be copied "
                f"({type(error).__name__}: {lines[0].rstrip('.')})"
            ) from error
        values.update(zip(step.outputs, results, strict=True))
    return values


def _copy(step: Step, dtype: str) -> Any:
    """A layer or operation like the step's, without weights and nodes."""
    if is_norm(step):
        return ChannelScale(name=step.name, dtype=dtype)
    config = step.operation.get_config()
    if "dtype" in config and step.is_layer:
        config["dtype"] = dtype
    if step.norms:
        config["use_bias"] = True
    copied = type(step.operation).from_config(config)
    copied.name = step.name
    return copied


def _check_apart(flat: FlatGraph, folded: keras.Model) -> None:
    """A layer's config may hold a live layer, which its copy then shares."""
    theirs = {id(variable) for variable in flat.network.variables}
    for step in flat.layers():
        ours = folded.get_layer(step.name).variables
        if any(id(variable) in theirs for variable in ours):
            raise flat.refuse(f"{step} shares variables with its copy")


def _assign(flat: FlatGraph, folded: keras.Model) -> None:
    for step in flat.layers():
        layer = folded.get_layer(step.name)
        try:
            layer.set_weights(folded_weights(step))
        except ValueError as error:
            raise flat.refuse(
                f"{step} has other weights than its copy"
            ) from error
        if isinstance(layer, keras.layers.Normalization):
            # It computes with constants made from its weights.
            layer.finalize_state()


def _kept(outputs: list[Any], keep: Sequence[int] | None) -> list[Any]:
    return outputs if keep is None else [outputs[index] for index in keep]


def _packed(network: keras.Model, structure: str, tensors: list[Any]) -> Any:
    """Tensors in the structure in which the network was made.

    No public attribute has it; a Sequential has none, and one tensor.
    """
    made = getattr(network, structure, None)
    if made is None:
        return tensors[0]
    return keras.tree.pack_sequence_as(made, tensors)
