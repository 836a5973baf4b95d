"""The student as the export needs it: in float32, ending in logits."""

import contextlib
import dataclasses
import sys
from collections.abc import Iterator
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np

from keras_ft import heads
from keras_ft.errors import InputError
from keras_ft.export.errors import PrecisionError
from keras_ft.export.quantizations import QUANTIZATIONS
from keras_ft.validation.labels import loss_activation

_BATCH = 64
_BUILD_IN_FLOAT32 = (
    'Build it under `keras.config.set_dtype_policy("float32")` and load its '
    "weights."
)
# Where tfmot lets ranges begin; the input's begins at 0..0.
_INITIAL_RANGE = (-6.0, 6.0)


def classifier_shapes(student: keras.Model) -> tuple[tuple[int, ...], int]:
    """Return (H, W, C) and the number of classes, or refuse others.

    Raises:
        InputError: It has no fixed input shape, or other inputs and outputs
            than one batch of images and one of logits.
    """
    inputs = getattr(student, "inputs", None) or ()
    outputs = getattr(student, "outputs", None) or ()
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    fits = (
        (len(inputs), len(outputs)) == (1, 1)
        and [len(shape) for shape in shapes] == [4, 2]
        and None not in shapes[0][1:] + shapes[1][1:]
        and shapes[1][1] > 1
    )
    if not fits:
        raise InputError(
            "student",
            f"shapes {shapes or 'unknown'}",
            "a Functional or Sequential model with one input (None, H, W, C) "
            "of fixed size and one output (None, classes)",
            "Build it with keras.Input and a fixed input_shape.",
        )
    return shapes[0][1:], shapes[1][1]


@dataclasses.dataclass(frozen=True)
class Output:
    """Describe one output of a `.tflite` file.

    Args:
        name: In the file's signature.
        shape: Without the batch.
        activation: `"softmax"` over the last axis or `"sigmoid"`, which the
            file computes of the student's logits; None for values that are no
            probabilities.
    """

    name: str
    shape: tuple[int, ...]
    activation: str | None

    @property
    def is_classifier(self) -> bool:
        """Return whether it has one row of probabilities per image."""
        return len(self.shape) == 1 and self.activation is not None

    @property
    def classes(self) -> int:
        """Return the number of classes, labels or channels."""
        return self.shape[-1]

    def activated(self, logits: Any) -> Any:
        """Return the file's output for the student's logits, as NumPy."""
        return keras.ops.convert_to_numpy(
            heads.activate(self.activation, keras.ops.convert_to_tensor(logits))
        )


PROBABILITIES, VALUES = "probabilities", "output"


def file_outputs(student: Any, activation: Any = None) -> list[Output]:
    """Return what a student's file is to give.

    Args:
        student: A model with fixed output shapes.
        activation: `"softmax"`, `"sigmoid"` or `"linear"`; for several
            outputs a dictionary of them by name. None: what the student ends
            in; else what its compiled loss says; else a softmax for one row
            of logits per image, a sigmoid for a single logit, and nothing for
            any other output.

    Raises:
        InputError: `activation` is something else, names no output, or is not
            what the student ends in; a softmax over one output.
    """
    outputs = list(student.outputs)
    own: tuple[str | None, ...] = (None,) * len(outputs)
    if not is_tf_keras(student):
        own = heads.output_activations(student)
    names = _output_names(student)
    given = _given_activations(activation, names)
    compiled = getattr(student, "loss", None)
    found = []
    for name, tensor, end in zip(names, outputs, own, strict=True):
        shape = tuple(tensor.shape[1:])
        loss = compiled.get(name) if isinstance(compiled, dict) else compiled
        told = given.get(name) or loss_activation(loss)
        if end and told and told != end and name in given:
            raise InputError(
                "activation",
                repr(given[name]),
                f"{end!r}, in which '{student.name}' ends",
                "Leave it out.",
            )
        if not (end or told) and len(outputs) == len(shape) == 1:
            told = "sigmoid" if shape[0] == 1 else "softmax"
        kind = end or (None if told == "linear" else told)
        if kind == "softmax" and shape[-1] == 1:
            raise InputError(
                "student",
                f"a softmax over one output, '{name}', which is always 1",
                "a sigmoid for one output, or a softmax over two and more",
                'Build it with Dense(1), activation="sigmoid" or none.',
            )
        if len(outputs) == 1:
            name = PROBABILITIES if kind else VALUES
        found.append(Output(name, shape, kind))
    return found


def _output_names(student: Any) -> list[str]:
    """Return the keys of a dictionary of outputs, or names of layers."""
    count = len(student.outputs)
    structure = None
    if not isinstance(student, keras.Sequential):
        structure = getattr(student, "output", None)
    if isinstance(structure, dict):
        return list(dict(sorted(structure.items())))
    names = list(getattr(student, "output_names", ()))
    if len(names) != count or len({*names}) != count:
        names = [f"output_{i}" for i in range(count)]
    return names


def _given_activations(activation: Any, names: list[str]) -> dict[str, str]:
    known = (*heads.ACTIVATIONS, "linear")
    given = activation
    if activation is None:
        return {}
    if not isinstance(activation, Mapping):
        given = {names[0]: activation} if len(names) == 1 else None
    if given is None or {*given} - {*names} or {*given.values()} - {*known}:
        raise InputError(
            "activation",
            repr(activation),
            f"one of {', '.join(known)}, in a dictionary by name where there "
            f"are several outputs; here: {', '.join(names)}",
            'Use for example {"scores": "softmax"}, and leave out the others.',
        )
    return dict(given)


def image_shape(student: keras.Model) -> tuple[int, ...]:
    """Return (H, W, C) of the images a student takes, or refuse it.

    Raises:
        InputError: It has no fixed shapes, or other inputs than one batch of
            images.
    """
    inputs = getattr(student, "inputs", None) or ()
    outputs = getattr(student, "outputs", None) or ()
    shapes = [tuple(tensor.shape) for tensor in (*inputs, *outputs)]
    free = any(None in shape[1:] or len(shape) < 2 for shape in shapes)
    if len(inputs) != 1 or not outputs or len(shapes[0]) != 4 or free:
        raise InputError(
            "student",
            f"shapes {shapes or 'unknown'}",
            "a Functional or Sequential model with one input (None, H, W, C) "
            "and outputs, all of fixed size",
            "Build it with keras.Input and a fixed input_shape.",
        )
    return shapes[0][1:]


def is_tf_keras(model: Any) -> bool:
    """Return whether a model is one of `tf_keras`, without importing it."""
    tf_keras = sys.modules.get("tf_keras")
    return tf_keras is not None and isinstance(model, tf_keras.Model)


def check_quantization_aware(student: Any, quantization: str) -> None:
    """Refuse to write a student of quantization-aware training otherwise.

    Args:
        student: Any model.
        quantization: What it is to be written as.

    Raises:
        InputError: The student imitates 8 bits and the file would not have
            them, or its ranges were never measured: such a file is wrong more
            often than right.
    """
    ranges = _activation_ranges(student) if is_tf_keras(student) else []
    if not ranges:
        return
    if not QUANTIZATIONS[quantization].calibrated:
        raise InputError(
            "quantization",
            f"{quantization!r} for '{student.name}', which was trained to "
            "compute in 8 bits",
            '"int8" or "int8_io"',
            "Use one of them, or export the student it was made of.",
        )
    if _INITIAL_RANGE in ranges:
        raise InputError(
            f"'{student.name}' still has tfmot's initial ranges, because it "
            "was not trained after they were put in. Train it first, or let "
            "keras_ft.compression.compress do both."
        )


def _activation_ranges(student: Any) -> list[tuple[float, float]]:
    variables = {weight.name: weight for weight in student.weights}
    return [
        (float(variable), float(variables[name[: -len("min:0")] + "max:0"]))
        for name, variable in variables.items()
        if name.endswith("_min:0") and variable.shape.rank == 0
    ]


def in_float32(student: keras.Model) -> keras.Model:
    """Rebuild a mixed-precision student; return a float32 one as it is.

    The converter refuses float16 and bfloat16 convolutions. The weights of a
    mixed-precision student are float32 already, so nothing is lost.

    Args:
        student: A Functional or Sequential model. It is not changed.

    Returns:
        `student` itself, or a float32 copy with its weights.

    Raises:
        PrecisionError: A layer is quantized by Keras, or cannot be rebuilt.
    """
    if is_tf_keras(student):  # the bridge has done so already
        return student
    for layer in _layers(student):
        policy = layer.dtype_policy
        if isinstance(policy, keras.dtype_policies.QuantizedDTypePolicy):
            raise _not_in_float32(
                f"its layer {layer.name!r} has the policy {policy.name!r}. "
                "Export the student as it was before `quantize()`, with "
                '`quantization="dynamic"` or "int8".'
            )
    if _computes_in_float32(student):
        return student
    try:
        with _float32_policy():
            rebuilt = keras.models.clone_model(
                student, clone_function=_float32_layer, recursive=True
            )
        # Input layers, which have none, may get another name in the copy.
        for layer in student.layers:
            if layer.weights:
                rebuilt.get_layer(layer.name).set_weights(layer.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise _not_in_float32(
            f"it cannot be rebuilt ({error}). {_BUILD_IN_FLOAT32}"
        ) from error
    if not _computes_in_float32(rebuilt):
        raise _not_in_float32(
            f"a layer inside another stays in {student.compute_dtype}. "
            f"{_BUILD_IN_FLOAT32}"
        )
    return rebuilt


def _layers(model: keras.Model) -> list[Any]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _computes_in_float32(model: keras.Model) -> bool:
    return all(layer.compute_dtype == "float32" for layer in _layers(model))


@contextlib.contextmanager
def _float32_policy() -> Iterator[None]:
    # Nested models take the global policy; `clone_function` skips them.
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("float32")
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def _float32_layer(layer: keras.layers.Layer) -> keras.layers.Layer:
    return layer.__class__.from_config(
        {**layer.get_config(), "dtype": "float32"}
    )


def _not_in_float32(reason: str) -> PrecisionError:
    return PrecisionError(f"The student cannot compute in float32: {reason}")


def student_logits(
    network: Any,
    pixels: np.ndarray,
    scaling: tuple[np.ndarray, np.ndarray] | None,
) -> np.ndarray:
    """Return the logits of a student that computes in float32.

    Args:
        network: The student.
        pixels: Images (N, H, W, C), values 0..255.
        scaling: `input = pixel * scale + shift`, or `None`.

    Returns:
        Shape (N, classes).

    Raises:
        InputError: They are not finite, or probabilities.
    """
    (logits,) = student_outputs(network, pixels, scaling)
    check_logits(logits)
    return logits


def student_outputs(
    network: Any,
    pixels: np.ndarray,
    scaling: tuple[np.ndarray, np.ndarray] | None,
) -> list[np.ndarray]:
    """Return each output (N, ...) of a student; see `student_logits`.

    Raises:
        InputError: They are not finite.
    """
    if scaling is not None:
        pixels = pixels * scaling[0] + scaling[1]
    rows = []
    for batch in np.split(pixels, range(_BATCH, len(pixels), _BATCH)):
        outputs = keras.tree.flatten(network(batch, training=False))
        rows.append([keras.ops.convert_to_numpy(x) for x in outputs])
    found = [np.concatenate(parts) for parts in zip(*rows, strict=True)]
    if not all(np.isfinite(output).all() for output in found):
        raise InputError(
            "The student's outputs on real images are NaN or infinite. Train "
            "it again; its training has diverged."
        )
    return found


def check_logits(logits: np.ndarray) -> None:
    """Refuse rows (N, classes) of probabilities for logits."""
    if logits.min() >= 0.0 and np.allclose(logits.sum(axis=-1), 1.0, atol=1e-3):
        raise InputError(
            "The student returns probabilities, but the export adds the "
            "softmax itself. Leave out the last softmax, so that it returns "
            "logits."
        )
