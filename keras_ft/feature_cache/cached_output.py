"""Where a teacher's layer was: a name and a shape."""

from collections.abc import Sequence
from typing import Any

import keras

from keras_ft.errors import InputError


@keras.saving.register_keras_serializable(package="keras_ft")
class CachedOutput(keras.layers.Layer):
    """Takes the place of what a `FeatureCache` has computed already.

    It has a shape and no weights, and cannot be run: a model made of it is
    used with batches that carry the outputs.

    Args:
        shape: Of the output, without the batch.
        name: The layer it stands for.

    Raises:
        InputError: It is called on data.

    Example:

    >>> image = keras.Input((32, 32, 3))
    >>> CachedOutput((8, 8, 64), name="stage3")(image).shape
    (None, 8, 8, 64)
    """

    def __init__(
        self, shape: Sequence[int | None], name: str | None = None, **more: Any
    ) -> None:
        # Cached values are float32, whatever the policy.
        super().__init__(name=name, **{"dtype": "float32", **more})
        self.shape = tuple(shape)
        self.built = True

    def compute_output_spec(self, x: Any, **_: Any) -> keras.KerasTensor:
        """The shape, whatever comes in."""
        return keras.KerasTensor(
            (x.shape[0], *self.shape), dtype=self.compute_dtype
        )

    def call(self, x: Any) -> Any:
        """Never returns."""
        error = InputError(
            "x",
            f"images of shape {tuple(x.shape)} without cached outputs",
            "batches of the FeatureCache, as cache.train_from(0) yields them",
            f"The teacher that made '{self.name}' is not in memory; pass the "
            "teacher itself instead of cache.teacher to compute anew.",
        )
        # Keras would wrap it into an error of another class.
        error._keras_call_info_injected = True  # type: ignore[attr-defined]
        raise error

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "shape": list(self.shape)}
