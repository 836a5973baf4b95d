"""What one phase of a run will cost."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class PhaseCost:
    """Steps, operations and time of a phase, online and cached.

    Attributes:
        name: The phase's.
        steps: Training steps, all epochs.
        flops: Floating point operations of a step; a backward pass counts as
            two forward passes.
        step_seconds: Of a training step, measured.
        seconds: Of the phase: start, training and validation.
        cached_flops: As `flops`, the teacher's outputs read from a cache.
        cached_step_seconds: As `step_seconds`, likewise.
        cached_seconds: As `seconds`, likewise.

    Where no teacher runs, cached and online are the same.

    Example:

    >>> [cost.name for cost in runs.plan(settings).phases]
    ['paraphrase', 'distil']
    """

    name: str
    steps: int
    flops: int
    step_seconds: float
    seconds: float
    cached_flops: int
    cached_step_seconds: float
    cached_seconds: float
