"""Accuracy of one method minus that of another, seed by seed."""

import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

CONFIDENCE = 0.95
GAIN, LOSS, NOTHING = "gain", "loss", "no gain shown"


@dataclass(frozen=True)
class Difference:
    """A paired difference in percentage points, with its interval.

    The interval is Student's t over the seeds' differences. It speaks of
    other seeds (weights, order, augmentation), not of other test images.

    Attributes:
        seeds: How many seeds both methods finished.
        mean: Of the differences.
        low, high: The 95 % confidence interval of the mean; `None` where
            there is none: for one seed, or if all differences are equal.

    Example:

    >>> found = Difference.of({0: 0.91, 1: 0.92}, {0: 0.90, 1: 0.90})
    >>> print(found)
    +1.5 pt, 95 % CI [-4.9, 7.9]
    """

    seeds: int
    mean: float
    low: float | None
    high: float | None

    @classmethod
    def of(
        cls, ours: Mapping[int, float], theirs: Mapping[int, float]
    ) -> "Difference | None":
        """Return the difference of accuracies (0 to 1) by seed.

        Returns:
            `None` without a common seed.
        """
        points = [
            100 * (ours[seed] - theirs[seed]) for seed in ours if seed in theirs
        ]
        if not points:
            return None
        mean = statistics.fmean(points)
        if len(points) == 1 or max(points) - min(points) < 1e-9:
            return cls(len(points), mean, None, None)
        # Imported here: it takes a while, and is needed at the end.
        from scipy import stats

        error = statistics.stdev(points) / math.sqrt(len(points))
        low, high = stats.t.interval(CONFIDENCE, len(points) - 1, mean, error)
        return cls(len(points), mean, float(low), float(high))

    @property
    def verdict(self) -> str:
        """Return `"gain"` or `"loss"` where the interval leaves out 0."""
        if self.low is not None and self.low > 0:
            return GAIN
        if self.high is not None and self.high < 0:
            return LOSS
        return NOTHING

    def __str__(self) -> str:
        """Return mean and interval, such as "+0.9 pt, 95 % CI [0.4, 1.4]"."""
        if self.low is None or self.high is None:
            return f"{_rounded(self.mean, 1):+.1f} pt"
        # An interval that leaves out 0 must not be printed as one that ends
        # there.
        nearest = min(abs(self.low), abs(self.high))
        digits = next((n for n in (1, 2, 3) if nearest >= 0.5 / 10**n), 4)
        mean, low, high = (
            _rounded(value, digits)
            for value in (self.mean, self.low, self.high)
        )
        return (
            f"{mean:+.{digits}f} pt, 95 % CI "
            f"[{low:.{digits}f}, {high:.{digits}f}]"
        )

    def sentence(self, ours: str, theirs: str) -> str:
        """Return the verdict in plain words.

        Args:
            ours: Name of the method.
            theirs: Name of the one it is compared with.
        """
        if self.seeds == 1:
            return f"{ours}: {self} against {theirs}; one seed shows nothing"
        few = " (two seeds only)" if self.seeds == 2 else ""
        if self.low is None:
            return (
                f"{ours}: no gain shown over {theirs} ({self} with each seed, "
                f"hence no interval){few}"
            )
        if self.verdict == GAIN:
            amount = str(self).replace(" pt,", f" pt over {theirs},")
            return f"{ours} {amount}{few}"
        if self.verdict == LOSS:
            return f"{ours}: a loss against {theirs}, {self}{few}"
        return f"{ours}: no gain shown over {theirs} ({self}){few}"


def _rounded(value: float, digits: int) -> float:
    # Adding 0 turns -0.0 into 0.0.
    return round(value, digits) + 0.0
