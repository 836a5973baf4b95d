"""Compile a frozen network for inference: fold batch normalization away.

In inference a batch normalization is `x * scale + shift` per channel, with
constants. A layer that is linear in its kernel and bias takes both into them.
"""

import random
from collections.abc import Callable
from collections.abc import Sequence
from typing import Any
from typing import TypeVar

import keras
import numpy as np
from keras import ops

from keras_ft.acceleration import check_images
from keras_ft.acceleration.flat_graph import FlatGraph
from keras_ft.acceleration.flat_graph import NotFoldableError
from keras_ft.acceleration.flat_graph import Step
from keras_ft.acceleration.flat_graph import is_keras
from keras_ft.errors import InputError

Folded = TypeVar("Folded")

RELATIVE_ERROR = 1e-4
COSINE = 0.9995

# Exact types: a subclass may compute anything. Where in the last kernel the
# output channels are; a depthwise kernel has them on two axes.
_CHANNEL_AXIS: dict[type, int | None] = {
    keras.layers.Conv1D: -1,
    keras.layers.Conv2D: -1,
    keras.layers.Conv3D: -1,
    keras.layers.Conv1DTranspose: -2,
    keras.layers.Conv2DTranspose: -2,
    keras.layers.Conv3DTranspose: -2,
    keras.layers.SeparableConv1D: -1,
    keras.layers.SeparableConv2D: -1,
    keras.layers.DepthwiseConv1D: None,
    keras.layers.DepthwiseConv2D: None,
    keras.layers.Dense: -1,
}


def fold(
    network: keras.Model,
    dtype: str = "float32",
    keep: Sequence[int] | None = None,
    images: Any = None,
) -> keras.Model:
    """Build a network that computes the same in inference, faster.

    Batch normalization goes into the convolution or Dense layer before it
    where that feeds nothing else, and is a scale and a shift per channel
    elsewhere; dropout and noise are left out; nested models are opened. The
    new network is called once and compared with the original: on `images`,
    or on random ones in the range that the network's own preprocessing
    expects, pixels of 0 to 255 for example.

    Args:
        network: A Functional or Sequential model, for example what
            `feature_extractor` returns. It is read and called, never changed.
        dtype: `"float32"`, or `"bfloat16"` for weights and activations in
            that type; see `gains_from_bfloat16`.
        keep: The outputs that are wanted, by their place in
            `network.outputs`; None for all. What only the others need is cut
            off, so that a pass can end at its taps.
        images: An array of some that the network will see, of which the first
            four are taken; None to draw some.

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
        folded = _build(flat, dtype, whole=keep is None)
        _check_apart(flat, folded)
        _assign(flat, folded)
        folded.trainable = False
        _check(flat, folded, dtype, images)
    finally:
        random.setstate(state)
    return folded


def fold_in_steps(
    fold_in: Callable[[str], Folded], gains_from_bfloat16: bool
) -> tuple[Folded | None, str]:
    """Fold in the fastest type in which that works.

    Args:
        fold_in: Returns what is folded in `"bfloat16"` or `"float32"`, or
            raises `NotFoldableError`.
        gains_from_bfloat16: Whether bfloat16 is tried, before float32.

    Returns:
        What was folded, and in which type, with the reason where it is the
        second one; or None, and why not.

    Example:

    >>> fast, how = fold_in_steps(lambda dtype: fold(teacher, dtype), True)
    >>> how
    'bfloat16'
    """
    reasons: list[str] = []
    for dtype in (
        ("bfloat16", "float32") if gains_from_bfloat16 else ("float32",)
    ):
        try:
            folded = fold_in(dtype)
        except NotFoldableError as error:
            if error.reason not in reasons:
                reasons.append(error.reason)
            continue
        return folded, "; ".join([dtype, *reasons])
    return None, "; ".join(reasons)


def refold(
    folded: keras.Model,
    network: keras.Model,
    keep: Sequence[int] | None = None,
) -> None:
    """Give a folded network the weights that the original has now.

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
    _fold_norms(flat)
    return flat


def _build(flat: FlatGraph, dtype: str, whole: bool) -> keras.Model:
    """Build the new network, with fresh weights."""
    network = flat.network
    inputs = [
        keras.Input(batch_shape=x.shape, dtype=x.dtype, name=x.name)
        for x in network.inputs
    ]
    values = _replay(flat, inputs, dtype)
    outputs = []
    for index, number in zip(flat.keep, flat.outputs, strict=True):
        value, wanted = values[number], network.outputs[index].dtype
        if value.dtype != wanted:
            value = ops.cast(value, wanted)
        outputs.append(value)
    inside = _packed(network, "_inputs_struct", inputs)
    if whole:
        outputs = _packed(network, "_outputs_struct", outputs)
    return keras.Model(inside, outputs, name=f"{network.name}_folded")


def _replay(flat: FlatGraph, inputs: list[Any], dtype: str) -> dict[int, Any]:
    """Call a copy of each operation; return every tensor by number."""
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
    """Copy the step's layer or operation, without weights and nodes."""
    if _is_norm(step):
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
    """Refuse a copy that shares a live layer from the original's config."""
    theirs = {id(variable) for variable in flat.network.variables}
    for step in flat.layers():
        ours = folded.get_layer(step.name).variables
        if any(id(variable) in theirs for variable in ours):
            raise flat.refuse(f"{step} shares variables with its copy")


def _assign(flat: FlatGraph, folded: keras.Model) -> None:
    for step in flat.layers():
        layer = folded.get_layer(step.name)
        try:
            layer.set_weights(_folded_weights(step))
        except ValueError as error:
            raise flat.refuse(
                f"{step} has other weights than its copy"
            ) from error
        if isinstance(layer, keras.layers.Normalization):
            # It computes with constants made from its weights.
            layer.finalize_state()


def _packed(network: keras.Model, structure: str, tensors: list[Any]) -> Any:
    """Return tensors in the structure in which the network was made.

    No public attribute has it; a Sequential has none, and one tensor.
    """
    made = getattr(network, structure, None)
    if made is None:
        return tensors[0]
    return keras.tree.pack_sequence_as(made, tensors)


class ChannelScale(keras.layers.Layer):
    """Compute `x * scale + shift` per channel: a norm that stays on its own.

    Keras' Rescaling would hold its constants where a compiled function
    cannot see them change.
    """

    supports_masking = True

    def build(self, input_shape: Any) -> None:
        channels = (input_shape[-1],)
        self.scale = self.add_weight(channels, name="scale")
        self.shift = self.add_weight(channels, name="shift")

    def call(self, inputs: Any, mask: Any = None) -> Any:
        return inputs * self.scale + self.shift

    def compute_output_shape(self, input_shape: Any) -> Any:
        return input_shape


def _fold_norms(flat: FlatGraph) -> None:
    """Move each batch normalization that it can into the step before it.

    Changes the list of steps alone: the normalization leaves it, and the
    earlier step lists it under `norms` and makes its output.
    """
    uses, calls = flat.uses(), flat.calls()
    makers = {step.outputs[0]: step for step in flat.steps}
    kept = []
    for step in flat.steps:
        before = makers.get(step.inputs[0]) if _is_norm(step) else None
        if (
            before is not None
            and _takes_norms(before)
            and uses[step.inputs[0]] == 1
            and calls[id(before.operation)] == 1
            and calls[id(step.operation)] == 1
        ):
            before.norms.append(step.operation)
            before.outputs = step.outputs
            makers[step.outputs[0]] = before
        else:
            kept.append(step)
    flat.steps = kept


def _is_norm(step: Step) -> bool:
    """Return whether a step is batch normalization over the last axis."""
    layer = step.operation
    if type(layer) is not keras.layers.BatchNormalization:
        return False
    # `input_spec` was made when the rank was known: axes {last: channels}.
    rank = layer.input_spec.ndim
    return layer.axis % rank == rank - 1


def _folded_weights(step: Step) -> list[np.ndarray]:
    """Return the weights of a step's copy, with its norms, in float64."""
    layer = step.operation
    if _is_norm(step):
        return list(_scale_and_shift(layer))
    weights = layer.get_weights()
    if not step.norms:
        return weights
    bias = weights.pop() if layer.use_bias else 0.0
    kernel = np.asarray(weights.pop(), "float64")
    for norm in step.norms:
        scale, shift = _scale_and_shift(norm)
        kernel = kernel * _along(scale, kernel, _CHANNEL_AXIS[type(layer)])
        bias = bias * scale + shift
    return [*weights, kernel, bias]


def _takes_norms(step: Step) -> bool:
    layer = step.operation
    return (
        type(layer) in _CHANNEL_AXIS
        and layer.activation is keras.activations.linear
        and getattr(layer, "data_format", "channels_last") == "channels_last"
    )


def _scale_and_shift(norm: Any) -> tuple[np.ndarray, np.ndarray]:
    mean, variance = (
        keras.ops.convert_to_numpy(variable).astype("float64")
        for variable in (norm.moving_mean, norm.moving_variance)
    )
    scale = 1.0 / np.sqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * keras.ops.convert_to_numpy(norm.gamma)
    shift = -mean * scale
    if norm.center:
        shift = shift + keras.ops.convert_to_numpy(norm.beta)
    return scale, shift


def _along(
    scale: np.ndarray, kernel: np.ndarray, axis: int | None
) -> np.ndarray:
    """Shape `scale` so that it multiplies a kernel's output channels."""
    if axis is None:
        return scale.reshape(kernel.shape[-2:])
    return scale if axis == -1 else scale[:, None]


def _check(
    flat: FlatGraph, folded: keras.Model, dtype: str, images: Any
) -> None:
    """Compare every output of both networks on some images.

    Raises:
        NotFoldableError: With the figure that missed its bound, or the layer
            that changed a variable or added a loss.
    """
    given = check_images.given(flat, images)
    whose = "random images" if given is None else "your images"
    try:
        chosen = check_images.draw(flat) if given is None else given
        # First, so that an original with state is never called.
        found = _without_state(flat, folded, chosen)
        expected = _outputs(flat.network, chosen)
    except NotFoldableError:
        raise
    except Exception as error:  # whatever a layer of the user's raises
        raise flat.refuse(
            f"it cannot be called on {whose}: {type(error).__name__}"
        ) from error
    for index, ours in zip(flat.keep, found, strict=True):
        theirs = expected[index]
        if dtype == "float32":
            figure = relative_error(theirs, ours)
            missed = not figure <= RELATIVE_ERROR
            said = f"relative error {figure:.1e}, above {RELATIVE_ERROR:g}"
        else:
            figure = cosine(theirs, ours)
            missed = not figure >= COSINE
            said = f"cosine {figure:.6f}, below {COSINE}"
        if missed:
            raise flat.refuse(
                f"output {index} in {dtype} differs from the original's on "
                f"{whose}: {said}"
            )


def relative_error(expected: Any, found: Any) -> float:
    """Return the largest difference over the largest value."""
    expected, found = _float64(expected), _float64(found)
    largest = np.max(np.abs(expected), initial=np.finfo("float32").tiny)
    return float(np.max(np.abs(found - expected), initial=0.0) / largest)


def cosine(expected: Any, found: Any) -> float:
    """Return the smallest cosine of an example with the original's."""
    expected, found = (
        _float64(x).reshape(len(x), -1) for x in (expected, found)
    )
    lengths = np.linalg.norm(expected, axis=1) * np.linalg.norm(found, axis=1)
    products = np.sum(expected * found, axis=1)
    tiny = np.finfo("float32").tiny
    same = np.all(expected == found, axis=1)
    return float(
        np.min(np.where(same, 1.0, products / np.maximum(lengths, tiny)))
    )


def _without_state(
    flat: FlatGraph, folded: keras.Model, images: list[Any]
) -> list[Any]:
    """Return the outputs; refuse a layer with state or losses of its own."""
    steps = [s for s in flat.layers() if not is_keras(type(s.operation))]
    layers = [folded.get_layer(step.name) for step in steps]
    before = [_values(layer) for layer in layers]
    outputs = _outputs(folded, images)
    for step, layer, values in zip(steps, layers, before, strict=True):
        if not all(map(np.array_equal, values, _values(layer))):
            raise flat.refuse(f"{step} changes its variables in inference")
        if layer.losses:
            raise flat.refuse(f"{step} adds losses of its own")
    return outputs


def _values(layer: Any) -> list[np.ndarray]:
    return [ops.convert_to_numpy(x) for x in layer.variables]


def _outputs(network: keras.Model, images: list[Any]) -> list[Any]:
    packed = _packed(network, "_inputs_struct", images)
    return keras.tree.flatten(network(packed, training=False))


def _float64(x: Any) -> np.ndarray:
    return np.asarray(ops.convert_to_numpy(x), "float64")
