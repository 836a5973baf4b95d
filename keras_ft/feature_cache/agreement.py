"""How near the outputs of a cache must be to the live teacher's."""

import dataclasses
from typing import Any

import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Agreement:
    """Two limits for the rows of a batch.

    Args:
        row: The smallest cosine of a row to the live teacher's.
        mean: The smallest mean of them.

    Example:

    >>> Agreement(row=0.99, mean=0.999).missed(tf.constant([1.0, 0.98]))
    'a mean cosine of 0.99000, below 0.999'
    """

    row: float
    mean: float

    def missed(self, cosines: Any) -> str | None:
        """What is too small, if anything."""
        for name, found, limit in (
            ("a mean cosine", float(tf.reduce_mean(cosines)), self.mean),
            ("a cosine", float(tf.reduce_min(cosines)), self.row),
        ):
            # Not "<": NaN is no agreement either.
            if not found >= limit:
                return f"{name} of {found:.5f}, below {limit}"
        return None


STORED = Agreement(row=0.999, mean=0.999)
STORED_FLOAT32 = Agreement(row=0.9999, mean=0.9999)
# In bfloat16 a few images in ten thousand are off by more than the rest. Of
# the feature maps of ResNet-20 and ResNet-56 the worst row of 15,000 images
# was at 0.9979, the worst mean of 128 at 0.99987; another image's row was at
# 0.88 at most.
ACCELERATED = Agreement(row=0.99, mean=0.999)
# Before it is used at all.
FOLDED = Agreement(row=0.99, mean=0.9995)


def agreement(dtype: str, accelerated: bool) -> Agreement:
    """Between a finished cache and the live teacher."""
    if accelerated:
        return ACCELERATED
    return STORED_FLOAT32 if dtype == "float32" else STORED
