"""What must hold before a compression starts."""

from typing import Any

import keras

from keras_ft.errors import InputError
from keras_ft.export import litert_quantizer
from keras_ft.export.quantization import quantization_of
from keras_ft.validation import needs
from keras_ft.validation import preflight

# The stages of each method, in order.
METHODS: dict[str, tuple[str, ...]] = {
    "prune": ("prune",),
    "cluster": ("cluster",),
    "qat": ("quantize",),
    "pqat": ("prune", "quantize"),
    "cqat": ("cluster", "quantize"),
    "pcqat": ("prune", "cluster", "quantize"),
}


def check_request(
    method: str,
    epochs: int,
    learning_rate: float,
    sparsity: float,
    clusters: int,
) -> None:
    """Refuse arguments that cannot work, whatever the student is."""
    needs.tensorflow(
        "keras_ft.compression.compress",
        "Save the student as .keras and compress it where TensorFlow is.",
    )
    if keras.backend.backend() != "tensorflow":
        raise InputError(
            "KERAS_BACKEND",
            keras.backend.backend(),
            "tensorflow, which tfmot trains with",
            "Save the student as .keras and compress it with "
            "KERAS_BACKEND=tensorflow.",
        )
    if method not in METHODS:
        raise InputError(
            "method",
            repr(method),
            f"one of {', '.join(METHODS)}",
            'Start with "qat", the smallest file for the least accuracy.',
        )
    _check_number("epochs", epochs, int, 1, 10**6, "epochs=5")
    _check_number(
        "learning_rate", learning_rate, float, 0.0, 10.0, "learning_rate=1e-3"
    )
    _check_number("sparsity", sparsity, float, 0.0, 1.0, "sparsity=0.5")
    _check_number("clusters", clusters, int, 3, 256, "clusters=16")


def _check_number(
    argument: str, value: Any, kind: type, low: float, high: float, fix: str
) -> None:
    """Integers from low to high; other numbers strictly in between."""
    whole = kind is int
    kinds = (int,) if whole else (int, float)
    fits = (
        isinstance(value, kinds)
        and not isinstance(value, bool)
        and (low <= value <= high if whole else low < value < high)
    )
    if not fits:
        expected = (
            f"a whole number from {low:g} to {high:g}"
            if whole
            else f"a number between {low:g} and {high:g}"
        )
        raise InputError(argument, repr(value), expected, f"Use {fix}.")


def check_dataset(argument: str, data: Any) -> None:
    """Refuse anything but a dataset of pairs or triples."""
    spec = getattr(data, "element_spec", None)
    if not isinstance(spec, tuple) or len(spec) not in (2, 3):
        raise InputError(
            argument,
            f"a {type(data).__name__}"
            + ("" if spec is None else " without labels"),
            "a tf.data.Dataset of batches (x, y) or (x, y, sample_weight)",
            "Pass data.train, or "
            "tf.data.Dataset.from_tensor_slices((x, y)).batch(128).",
        )


def steps_of(train: Any, steps_per_epoch: int | None) -> int:
    """Batches per epoch, or refuse a dataset without an end."""
    size = preflight.data_size(train)
    if steps_per_epoch is not None:
        _check_number("steps_per_epoch", steps_per_epoch, int, 1, 10**9, "None")
        return steps_per_epoch
    if size is None:
        raise InputError(
            "train",
            "a dataset of unknown or infinite size",
            "one whose size is known, or steps_per_epoch",
            "Pass steps_per_epoch=..., the number of batches per epoch.",
        )
    return size


def check_export(method: str, quantization: str, fallback: str | None) -> None:
    """Refuse, before anything is trained, a file that cannot be made after.

    Args:
        method: See `compress`.
        quantization: Of the file, see `export.to_tflite`.
        fallback: Likewise; or None.

    Raises:
        InputError: A student that imitates 8 bits would be written as
            something else, or a package is missing.

    Example:

    >>> check_export("qat", "int8", None)
    """
    imitates = "quantize" in METHODS.get(method, ())
    for argument, name in (
        ("quantization", quantization),
        ("fallback", fallback),
    ):
        if name is None:
            continue
        kind = quantization_of(name, argument)
        if imitates and not kind.calibrated:
            raise InputError(
                argument,
                f"{name!r} after {method!r}, which trains for 8 bits",
                '"int8" or "int8_io"',
                "Use one of them, or a method without q, such as prune.",
            )
        if kind.recipe is not None:
            litert_quantizer.check_installed(name)
