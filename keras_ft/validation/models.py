"""Check models before the first training step."""

from typing import Any

import keras
from keras import ops

from keras_ft.errors import InputError


def check_model(argument: str, model: Any) -> None:
    """Refuse anything but a built Keras 3 model."""
    if not isinstance(model, keras.Model):
        raise InputError(
            argument,
            f"a {type(model).__name__} from {type(model).__module__}",
            "a Keras 3 model (keras.Model)",
            "Load it with keras.models.load_model; tf.keras and PyTorch models "
            "are not Keras 3 models.",
        )
    if not model.built:
        raise InputError(
            argument,
            f"'{model.name}', which was never built",
            "a built model",
            "Start it with keras.Input(shape), or call it on a batch once.",
        )


def check_pair(teacher: keras.Model, student: keras.Model) -> None:
    """Refuse pairs that cannot see the same images or share weights."""
    check_model("teacher", teacher)
    check_model("student", student)
    teacher_ids = {id(variable) for variable in teacher.variables}
    shared = [v for v in student.variables if id(v) in teacher_ids]
    if teacher is student or shared:
        raise InputError(
            f"The student '{student.name}' shares weights with the teacher. "
            "Copy one of them with keras.models.clone_model."
        )
    inputs = [
        len(getattr(m, "inputs", None) or [0]) for m in (teacher, student)
    ]
    if inputs[0] != inputs[1]:
        raise InputError(
            "student",
            f"a model of {inputs[1]} inputs",
            f"as many as the teacher's, {inputs[0]}",
            "Both networks see the same batch: build them for the same inputs.",
        )
    shapes = [input_shape(model) for model in (teacher, student)]
    if None not in shapes and not fit_together(*shapes):
        raise InputError(
            "student",
            f"input shape {shapes[1]}",
            f"the teacher's, {shapes[0]}",
            "Both networks see the same batch: build them for the same "
            "image size and channels.",
        )


def check_finite(argument: str, model: keras.Model) -> None:
    """Refuse models with NaN or infinite weights."""
    for variable in model.variables:
        if not keras.backend.is_float_dtype(variable.dtype):
            continue
        if not bool(ops.all(ops.isfinite(variable.value))):
            raise InputError(
                argument,
                f"NaN or infinity in '{variable.path}'",
                "finite weights",
                "Load the model again from a sound checkpoint; training "
                "against it would destroy the student.",
            )


def check_trainable(before: dict[int, str], now: dict[int, str]) -> None:
    """Refuse no trainable weights, or others than the traced step's.

    Args:
        before: Path of each weight by the variable's id, when traced.
        now: The same for this moment.
    """
    if not now:
        raise InputError(
            "This is a model without trainable weights. Set trainable = True "
            "on what is to be trained and call compile() again."
        )
    both = {**before, **now}
    changed = sorted(both[key] for key in before.keys() ^ now.keys())
    if before and changed:
        more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
        raise InputError(
            "`trainable` has changed since training began, for "
            f"{', '.join(changed[:3])}{more}. Call compile() again; the "
            "traced step would go on with the old set without a word."
        )


def check_optimizer(optimizer: Any, variables: list[Any]) -> None:
    """Refuse an optimizer that has trained other weights than these."""
    # Mixed precision wraps it. Keras has no public way to ask.
    optimizer = getattr(optimizer, "inner_optimizer", optimizer)
    known = {id(v) for v in getattr(optimizer, "_trainable_variables", ())}
    others = [v.path for v in variables if id(v) not in known]
    if known and others:
        raise InputError(
            "optimizer",
            f"one that has trained another model or phase; it does not know "
            f"{others[0]}",
            "an optimizer of its own for every model and phase",
            "Make a new one: model.compile(keras.optimizers.SGD(0.1), ...).",
        )


def input_shape(model: keras.Model) -> tuple[int | None, ...] | None:
    """Return the shape of a model's one input, batch first, or None."""
    inputs = getattr(model, "inputs", None)
    if inputs:
        return tuple(inputs[0].shape) if len(inputs) == 1 else None
    # A subclassed model remembers what it was built with or called on.
    built = (model.get_build_config() or {}).get("input_shape")
    return (None, *built[1:]) if isinstance(built, (tuple, list)) else None


def output_shape(model: keras.Model) -> Any:
    """Return the shape of a model's outputs; ask a subclassed one for it."""
    if getattr(model, "outputs", None):
        return model.output_shape
    outputs = model(keras.KerasTensor(input_shape(model)))
    return keras.tree.map_structure(lambda tensor: tensor.shape, outputs)


def fit_together(one: Any, other: Any) -> bool:
    """Return whether two shapes are equal wherever both are known."""
    return len(one) == len(other) and all(
        a is None or b is None or a == b
        for a, b in zip(one, other, strict=True)
    )
