"""How a distiller's forward pass hands its terms to its loss.

Keras' step calls the model and passes the result to `compute_loss`. Within
`requested()` the model returns the terms beside the student's outputs;
anywhere else it returns the outputs alone.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.features.feature_taps import Tap
from keras_ft.features.feature_taps import find
from keras_ft.transfers.transfer import Transfer
from keras_ft.validation import preflight

# A context variable, because each replica of a strategy traces its step in a
# thread of its own.
_REQUESTED: ContextVar[bool] = ContextVar("requested", default=False)


@contextmanager
def requested() -> Iterator[None]:
    """Within it, a distiller's `call` returns the terms too."""
    token = _REQUESTED.set(True)
    try:
        yield
    finally:
        _REQUESTED.reset(token)


def are_requested() -> bool:
    """Whether the code runs within `requested()`."""
    return _REQUESTED.get()


def joined(outputs: Any, values: dict[str, Any]) -> dict[str, Any]:
    """Student outputs and per-example terms as one prediction."""
    return {"outputs": outputs, "terms": values}


def split(y_pred: Any) -> tuple[Any, dict[str, Any]]:
    """The inverse of `joined`; a plain prediction has no terms."""
    if isinstance(y_pred, dict) and set(y_pred) == {"outputs", "terms"}:
        return y_pred["outputs"], y_pred["terms"]
    return y_pred, {}


def checked(transfers: Any) -> list[Transfer]:
    """A list of transfers of different names, or an explanation."""
    transfers = list(transfers)
    for index, transfer in enumerate(transfers):
        if not isinstance(transfer, Transfer):
            raise InputError(
                f"transfers[{index}]",
                repr(transfer),
                "a keras_ft.transfers.Transfer",
                "Subclass Transfer and implement call(teacher, student).",
            )
    names = [transfer.name for transfer in transfers]
    if len(set(names)) < len(names):
        raise InputError(
            "transfers",
            f"names {names}",
            "a different name for each",
            "Pass name=...; each transfer logs '<name>_loss'.",
        )
    return transfers


def taps_of(
    teacher: keras.Model, student: keras.Model, transfer: Transfer
) -> tuple[Tap, Tap]:
    """The two taps that a transfer compares."""
    return (
        find(teacher, transfer.teacher_layer_name, "teacher_layer_name"),
        find(student, transfer.student_layer_name, "student_layer_name"),
    )


def parts(transfers: list[Transfer]) -> dict[str, keras.layers.Layer]:
    """Layers that transfers were made with, such as a paraphraser."""
    return {
        name: value
        for transfer in transfers
        for name, value in vars(transfer).items()
        if isinstance(value, keras.layers.Layer)
    }


def output_shape(model: keras.Model) -> Any:
    """Shape of a model's outputs; a subclassed model is asked symbolically."""
    if getattr(model, "outputs", None):
        return model.output_shape
    outputs = model(keras.KerasTensor(preflight.input_shape(model)))
    return keras.tree.map_structure(lambda tensor: tensor.shape, outputs)


def build(
    transfers: list[Transfer],
    found: list[tuple[Tap, Tap]],
    teacher: keras.Model,
    student: keras.Model,
) -> None:
    """Creates the weights of every transfer, before anything is traced."""
    pairs = iter(found)
    for transfer in transfers:
        if transfer.source == "features":
            shapes = [(None, *tap.shape) for tap in next(pairs)]
        else:
            shapes = [output_shape(teacher), output_shape(student)]
        if not transfer.built:
            transfer.build(*shapes)
