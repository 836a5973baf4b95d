"""Learning rates that fall linearly to 0, and the shortest that suffices."""

import statistics

import keras


class WarmUpLinear(keras.optimizers.schedules.LearningRateSchedule):
    """From near 0 linearly up to a peak, and linearly down to near 0.

    Args:
        peak: The highest learning rate.
        warm_up: The part of the steps before it, at least 0, below 1.
        steps: All steps.
    """

    def __init__(self, peak, warm_up, steps):
        self.peak, self.warm_up, self.steps = peak, warm_up, steps

    def __call__(self, step):
        part = (keras.ops.cast(step, "float32") + 1) / (self.steps + 1)
        falling = (1 - part) / (1 - self.warm_up)
        if not self.warm_up:
            return self.peak * falling
        return self.peak * keras.ops.minimum(part / self.warm_up, falling)


def shortest(reaches, start, least, most, walk=True):
    """The shortest length that reaches a target, or None.

    Believes that a longer schedule reaches what a shorter one does.

    Args:
        reaches: Whether a length does; called once for each that is tried.
        start: The length tried first.
        least, most: The bounds, included.
        walk: From the start one by one: fewest trials from a good guess.
            Otherwise doubling strides up, and halves.
    """
    low, high = least - 1, None  # too short; long enough
    length, stride = min(max(start, least), most), 1
    while high is None or high - low > 1:
        if reaches(length):
            high = length
            length = high - 1 if walk else (low + high) // 2
        else:
            low = length
            if low == most:
                return None
            if high is None:
                length = min(low + stride, most)
                stride *= 1 if walk else 2
            else:
                length = (low + high) // 2
    return high


def seconds_per_epoch(run):
    """Median over a run's epochs, where it can be without the first."""
    ends = [epoch["seconds"] for epoch in run["epochs"]]
    if len(ends) == 1:
        return ends[0] - run["phase1_seconds"]
    pairs = zip(ends[1:], ends[:-1], strict=True)
    return statistics.median(end - begin for end, begin in pairs)
