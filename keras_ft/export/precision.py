"""A student that computes in float32, as the converter needs it."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

from keras_ft.export.export_error import ExportError
from keras_ft.export.tf_keras_student import is_tf_keras


class PrecisionError(ExportError):
    """The student cannot be had in float32.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> student.get_layer("head").quantize("int8")
    >>> keras_ft.export.to_tflite(student, "student.tflite", samples=images)
    Traceback (most recent call last):
    keras_ft.export.PrecisionError: Invalid `student`. Received: layer ...
    """


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

    Example:

    >>> keras.config.set_dtype_policy("mixed_float16")
    >>> student = keras_ft.zoo.resnet8()
    >>> in_float32(student).layers[1].compute_dtype
    'float32'
    """
    if is_tf_keras(student):  # the bridge has done so already
        return student
    for layer in _layers(student):
        policy = layer.dtype_policy
        if isinstance(policy, keras.dtype_policies.QuantizedDTypePolicy):
            raise _refusal(
                f"layer {layer.name!r} with the policy {policy.name!r}",
                "Export the student as it was before `quantize()`, with "
                '`quantization="dynamic"` or "int8".',
            )
    if _computes_in_float32(student):
        return student
    try:
        with _float32_models():
            rebuilt = keras.models.clone_model(
                student, clone_function=_float32_layer, recursive=True
            )
        for layer in filter(_has_weights, student.layers):
            rebuilt.get_layer(layer.name).set_weights(layer.get_weights())
    except (TypeError, ValueError, NotImplementedError) as error:
        raise _refusal(
            f"a student that cannot be rebuilt ({error})",
            'Build it under `keras.config.set_dtype_policy("float32")` and '
            "load its weights.",
        ) from error
    if not _computes_in_float32(rebuilt):
        raise _refusal(
            "a student with a layer inside another that stays in "
            f"{student.compute_dtype}",
            'Build it under `keras.config.set_dtype_policy("float32")` and '
            "load its weights.",
        )
    return rebuilt


def _layers(model: keras.Model) -> list[Any]:
    return [
        layer
        for layer in model._flatten_layers(include_self=False)
        if not isinstance(layer, keras.layers.InputLayer)
    ]


def _has_weights(layer: keras.layers.Layer) -> bool:
    # Input layers, which have none, may get another name in the copy.
    return bool(layer.weights)


def _computes_in_float32(model: keras.Model) -> bool:
    return all(layer.compute_dtype == "float32" for layer in _layers(model))


@contextlib.contextmanager
def _float32_models() -> Iterator[None]:
    """Nested models take the global policy; `clone_function` skips them."""
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


def _refusal(received: str, fix: str) -> PrecisionError:
    return PrecisionError(
        "student", received, "a model that computes in float32", fix
    )
