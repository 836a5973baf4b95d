"""Say in one number how well features are reconstructed."""

from typing import Any

import keras
from keras import ops

# A share of the features' mean square that float32 cannot tell from none.
_NO_VARIANCE = 1e-6


@keras.saving.register_keras_serializable(package="keras_ft")
class VarianceKept(keras.metrics.Metric):
    """Compute the share of the features' variance that a copy of them keeps.

    `1 - sum((f - r)^2) / sum((f - mean)^2)`, also known as R^2 or as explained
    variance, with the sums over all entries seen since the last reset and
    `mean` that of the entry's channel. 1 is a perfect reconstruction r; 0 is
    no better than each channel's mean; a worse one is negative. Features that
    do not vary give 0. Unlike an L1 or L2 error it means the same for every
    teacher and layer.

    All examples count alike, whatever their `sample_weight`. The sums are
    float32 numbers; those of replicas are added.

    Args:
        channels: Length of the features' last axis, at least 1.
        name: Of the metric, as logged.
        dtype: Of the sums.

    Example:

    >>> from keras_ft import metrics
    >>> metric = metrics.VarianceKept(channels=1)
    >>> metric.update_state([[0.0], [2.0], [4.0]], [[0.0], [2.0], [3.0]])
    >>> float(metric.result())
    0.875

    Reference:
        `keras.metrics.R2Score`, whose `variance_weighted_average` over
        channels it is, for maps of any shape.
    """

    def __init__(
        self,
        channels: int,
        name: str = "variance_kept",
        dtype: Any = "float32",
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        self.channels = channels
        # Each adds up over batches and replicas, which means would not.
        self._error = self._sum("squared_error")
        self._squares = self._sum("squares")
        self._sums = self._sum("sums", (channels,))
        self._count = self._sum("count")

    def _sum(self, name: str, shape: tuple[int, ...] = ()) -> Any:
        return self.add_weight(shape, "zeros", name=name)

    def update_state(
        self, y_true: Any, y_pred: Any, sample_weight: Any = None
    ) -> None:
        """Add a batch.

        Args:
            y_true: Features (batch, ..., channels).
            y_pred: Their reconstruction, of the same shape.
            sample_weight: Ignored.
        """
        del sample_weight
        features = self._rows(y_true)
        error = features - self._rows(y_pred)
        self._error.assign_add(ops.sum(ops.square(error)))
        self._squares.assign_add(ops.sum(ops.square(features)))
        self._sums.assign_add(ops.sum(features, axis=0))
        self._count.assign_add(
            ops.cast(ops.shape(features)[0], self._count.dtype)
        )

    def _rows(self, features: Any) -> Any:
        features = ops.cast(features, self._error.dtype)
        return ops.reshape(features, (-1, self.channels))

    def result(self) -> Any:
        """Return the share, a number of at most 1."""
        count = ops.maximum(self._count, 1.0)
        of_means = ops.sum(ops.square(self._sums)) / count
        variance = self._squares - of_means
        varies = variance > _NO_VARIANCE * self._squares
        safe = ops.where(varies, variance, 1.0)
        return ops.where(varies, 1.0 - self._error / safe, 0.0)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}
