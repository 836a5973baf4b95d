"""The reasons for which an export is refused, all of them `ExportError`."""

from pathlib import Path
from typing import Any

from keras_ft.errors import InputError


class ExportError(InputError):
    """Say why nothing was exported; no file appeared under its name.

    One `except ExportError` catches every reason; the subclasses tell them
    apart.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> needed = {"samples": images, "normalization": data.normalization}
    >>> try:
    ...     result = keras_ft.export.to_tflite(
    ...         student, "student.tflite", "int8", images, **needed)
    ... except keras_ft.export.ExportError:
    ...     result = keras_ft.export.to_tflite(
    ...         student, "student.tflite", "dynamic", **needed)
    """

    def __reduce__(self) -> tuple[Any, ...]:
        # The subclasses take other arguments than the message.
        return _unpickle, (type(self), self.args, vars(self))


def _unpickle(
    kind: type[ExportError], args: tuple[Any, ...], attributes: dict[str, Any]
) -> ExportError:
    error = kind.__new__(kind)
    error.args = args
    vars(error).update(attributes)
    return error


class RepresentativeDataError(ExportError):
    """Refuse calibration images or samples that make the result worthless.

    Example:

    >>> black = np.zeros((64, 28, 28, 1))
    >>> keras_ft.export.to_tflite(student, "student.tflite", samples=black)
    Traceback (most recent call last):
    keras_ft.export.RepresentativeDataError: Invalid `samples`. Received: ...
    """


class PrecisionError(ExportError):
    """Refuse a student that cannot be had in float32.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> student.get_layer("head").quantize("int8")
    >>> keras_ft.export.to_tflite(student, "student.tflite", samples=images)
    Traceback (most recent call last):
    keras_ft.export.PrecisionError: ...
    """


class UnsupportedOpsError(ExportError):
    """Refuse a student whose operations LiteRT does not have built in.

    A phone's LiteRT has no TensorFlow ("Flex") or custom operations.

    Args:
        operations: The operations, as TensorFlow names them.

    Example:

    >>> raise keras_ft.export.UnsupportedOpsError(("BesselI0",))
    Traceback (most recent call last):
    keras_ft.export.UnsupportedOpsError: LiteRT does not have ... BesselI0. ...
    """

    def __init__(self, operations: tuple[str, ...]) -> None:
        super().__init__(
            "LiteRT does not have the student's operations "
            f"{', '.join(operations)}. Replace the layers that use them, or "
            "leave them to the app."
        )
        self.operations = operations


class QuantizationNotAppliedError(ExportError):
    """Refuse a file that came out in float although 8 bits were asked for.

    Args:
        quantization: What was asked for.
        tensor_type: The type that none of the file's tensors has.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> tiny = keras.Sequential([
    ...     keras.Input((28, 28, 1)), keras.layers.AveragePooling2D(4),
    ...     keras.layers.Flatten(), keras.layers.Dense(10)])
    >>> keras_ft.export.to_tflite(
    ...     tiny, "tiny.tflite", "dynamic", samples=images)
    Traceback (most recent call last):
    keras_ft.export.QuantizationNotAppliedError: quantization='dynamic' was ...
    """

    def __init__(self, quantization: str, tensor_type: str) -> None:
        super().__init__(
            f"quantization={quantization!r} was not applied: the file has no "
            f'{tensor_type} tensor. Use quantization="none": the converter '
            "leaves weights of fewer than 1024 values in float."
        )


class ParityError(ExportError):
    """Refuse a file that runs but does not agree with Keras.

    Args:
        metric: `"agreement"`, `"max_error"`, `"mean_error"`,
            `"accuracy_drop"` or `"finite"`.
        measured: Its value over the samples.
        limit: What it had to reach, or stay below.
        worst: Index of the worst sample.
        detail: What Keras and LiteRT say about that sample.
        fix: A full sentence telling what to do next.

    Example:

    >>> raise keras_ft.export.ParityError(
    ...     "agreement", 0.65, 0.95, 17, "0 instead of 3", "Use float16.")
    Traceback (most recent call last):
    keras_ft.export.ParityError: The file is not good enough: ...
    """

    _MESSAGES = {
        "agreement": "it has the same top-1 class as Keras on a share of "
        "{:.4g} of the samples (agreement), less than {:.4g}",
        "max_error": "one of its probabilities, or of its values as a share "
        "of their range, differs from Keras' by {:.4g} (max_error), more than "
        "{:.4g}",
        "mean_error": "its values differ from Keras' by {:.4g} of their range "
        "in the mean (mean_error), more than {:.4g}",
        "accuracy_drop": "it is right on {:.4g} of the samples fewer than "
        "Keras (accuracy_drop), more than {:.4g}",
        "finite": "its outputs are finite on a share of {:.4g} of the "
        "samples, less than {:.4g}",
    }

    def __init__(
        self,
        metric: str,
        measured: float,
        limit: float,
        worst: int,
        detail: str,
        fix: str,
    ) -> None:
        problem = self._MESSAGES[metric].format(measured, limit)
        super().__init__(
            f"The file is not good enough: {problem}. The worst sample is "
            f"number {worst}: {detail}. {fix}"
        )
        self.metric = metric
        self.measured = measured
        self.limit = limit
        self.worst = worst


class BridgeError(ExportError):
    """Refuse a model that cannot be rebuilt in tf_keras.

    Args:
        layer: Name of the layer, operation or model at fault.
        reason: What is wrong with it.
        remedy: A full sentence telling what to do next.

    Example:

    >>> hard = keras.layers.Dense(3, "hard_sigmoid", name="gate")
    >>> model = keras.Sequential([keras.Input((8,)), hard])
    >>> keras_ft.export.to_tf_keras(model)
    Traceback (most recent call last):
    keras_ft.export.BridgeError: 'gate' cannot be rebuilt in tf_keras: ...
    """

    def __init__(self, layer: str, reason: str, remedy: str) -> None:
        super().__init__(
            f"{layer!r} cannot be rebuilt in tf_keras: {reason}. {remedy}"
        )
        self.layer = layer
        self.reason = reason
        self.remedy = remedy


class ModelFileError(ExportError):
    """Report a `.tflite` file that could not be run; this process is unharmed.

    Args:
        path: The file.
        kind: `"refused"` (LiteRT said no), `"crashed"` or `"timed out"`.
        reason: What happened, in words.
        fix: A full sentence telling what to do next.

    Example:

    >>> from pathlib import Path
    >>> size = Path("a.tflite").write_bytes(b"no flatbuffer at all")
    >>> keras_ft.export.measure_latency("a.tflite")
    Traceback (most recent call last):
    keras_ft.export.ModelFileError: LiteRT cannot run a.tflite: ...
    """

    def __init__(
        self,
        path: Path,
        kind: str,
        reason: str,
        fix: str = "Export it again: it is damaged or made for another use.",
    ) -> None:
        super().__init__(f"LiteRT cannot run {path}: {reason}. {fix}")
        self.path = path
        self.kind = kind
        self.reason = reason
