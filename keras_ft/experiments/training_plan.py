"""What a run will cost, as numbers and as a table."""

import dataclasses
from collections.abc import Mapping

import tqdm

from keras_ft.experiments.phase_cost import PhaseCost


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """What `plan` found out. It prints as a table.

    Attributes:
        parameters: Numbers of each network, by name.
        flops: Floating point operations of a forward pass for one image of
            each network, whole; a multiply and an add are two.
        phases: What each phase costs, in order.
        measured_steps: Steps whose times were averaged.
        memory: Peak in bytes and whose memory that is, measured: of
            `"cached"` training, then of all, which is that of `"online"`.
            Empty where the system does not tell.
        cache_bytes: Size of the feature cache, in float16.
        cache_seconds: Time to compute it, from four batches.
        cache_views: Differently augmented epochs it holds.

    Example:

    >>> found = runs.plan(settings)
    >>> found.seconds / 3600, found.cached_seconds / 3600
    (9.6, 6.1)
    """

    parameters: Mapping[str, int]
    flops: Mapping[str, int]
    phases: tuple[PhaseCost, ...]
    measured_steps: int
    memory: Mapping[str, tuple[int, str]]
    cache_bytes: int
    cache_seconds: float
    cache_views: int

    @property
    def seconds(self) -> float:
        """All training and validation, the teacher in every step."""
        return sum(phase.seconds for phase in self.phases)

    @property
    def cached_seconds(self) -> float:
        """The same with a feature cache, computing it included."""
        cached = sum(phase.cached_seconds for phase in self.phases)
        return self.cache_seconds + cached

    def __str__(self) -> str:
        return "\n".join(
            [
                *_table(self._networks()),
                "",
                *_table(self._phases()),
                "",
                *self._sentences(),
            ]
        )

    def _networks(self) -> list[list[str]]:
        head = ["network", "parameters", "MFLOP/image"]
        return [head] + [
            [name, f"{count:,}", f"{self.flops[name] / 1e6:.1f}"]
            for name, count in self.parameters.items()
        ]

    def _phases(self) -> list[list[str]]:
        head = ["phase", "steps"]
        head += ["GFLOP/step", "ms/step", "time"]
        head += ["cached: GFLOP", "ms", "time"]
        rows = [
            [
                phase.name,
                f"{phase.steps:,}",
                *_three(phase.flops, phase.step_seconds, phase.seconds),
                *_three(
                    phase.cached_flops,
                    phase.cached_step_seconds,
                    phase.cached_seconds,
                ),
            ]
            for phase in self.phases
        ]
        cache = ["cache", *[""] * 6, _clock(self.cache_seconds)]
        total = ["total", *[""] * 3, _clock(self.seconds)]
        total += ["", "", _clock(self.cached_seconds)]
        return [head, *rows, cache, total]

    def _sentences(self) -> list[str]:
        return [
            f"Times: the mean of {self.measured_steps} steps on this machine "
            "as it is now, with start and validation; without the tests and "
            "files at the end.",
            self._on_memory(),
            f"Feature cache: {self.cache_bytes:,} bytes for "
            f"{self.cache_views} views in float16; --views="
            f"{self.cache_views} trains from it.",
        ]

    def _on_memory(self) -> str:
        if not self.memory:
            return "Peak memory: this system does not tell it."
        whose = next(iter(self.memory.values()))[1]
        told = ", ".join(
            f"{name} {count / 1e6:,.0f} MB"
            for name, (count, _) in self.memory.items()
        )
        return f"Peak memory of {whose}, measured: {told}."


def _three(flops: int, step: float, seconds: float) -> list[str]:
    return [f"{flops / 1e9:.2f}", f"{1000 * step:.1f}", _clock(seconds)]


def _clock(seconds: float) -> str:
    clock: str = tqdm.tqdm.format_interval(seconds)
    return clock


def _table(rows: list[list[str]]) -> list[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return [
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
