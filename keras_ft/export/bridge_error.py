"""The refusal of the bridge to tf_keras."""

from typing import Any

from keras_ft.export.export_error import ExportError


class BridgeError(ExportError):
    """A model that cannot be had in tf_keras, so nothing was built.

    Args:
        layer: Name of the layer, operation or model at fault.
        reason: What is wrong with it.
        remedy: A full sentence telling what to do next.

    Example:

    >>> hard = keras.layers.Dense(3, "hard_sigmoid", name="gate")
    >>> model = keras.Sequential([keras.Input((8,)), hard])
    >>> keras_ft.export.to_tf_keras(model)
    Traceback (most recent call last):
    keras_ft.export.BridgeError: Invalid `model`. Received: 'gate': ...
    """

    def __init__(self, layer: str, reason: str, remedy: str) -> None:
        super().__init__(
            "model",
            f"{layer!r}: {reason}",
            "stock Keras layers that tf_keras has too and computes alike",
            remedy,
        )
        self.layer = layer
        self.reason = reason
        self.remedy = remedy

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.layer, self.reason, self.remedy)
