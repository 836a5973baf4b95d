"""Measure how long a `.tflite` file takes on this machine."""

import dataclasses
import os
import platform
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path

from keras_ft.artifacts import PathLike
from keras_ft.errors import InputError
from keras_ft.export.litert import TIME_LIMIT
from keras_ft.export.litert import run_isolated


@dataclasses.dataclass(frozen=True)
class Latency:
    """Describe how long one image takes, without loading the file.

    Args:
        threads: LiteRT's number of threads.
        median_ms: Half of the runs took no longer, in milliseconds.
        p90_ms: Nine of ten runs took no longer, in milliseconds.
        runs: How many were timed, after a warm-up.

    Example:

    >>> for latency in keras_ft.export.measure_latency("student.tflite"):
    ...     print(f"{latency.threads}: {latency.median_ms:.2f} ms")
    1: 0... ms
    2: 0... ms
    """

    threads: int
    median_ms: float
    p90_ms: float
    runs: int


def measure_latency(
    path: PathLike,
    threads: Sequence[int] = (1, 2),
    runs: int = 200,
    seconds: float = TIME_LIMIT,
) -> tuple[Latency, ...]:
    """Time a file in LiteRT on random pixels.

    It runs in a process of its own, so a damaged file does no harm. Other work
    on the machine makes it slower: compare files measured side by side.

    Args:
        path: A `.tflite` file with one input and one output, of any number
            type.
        threads: Each number of threads to time it with, 1 or more.
        runs: Runs to time for each, 1 or more, after 20 to warm up.
        seconds: Time limit for all of it.

    Returns:
        A `Latency` for each of `threads`.

    Raises:
        InputError: A number is below 1.
        ModelFileError: The file cannot be run, or not in time.

    Example:

    >>> latencies = keras_ft.export.measure_latency(
    ...     "student.tflite", threads=(1,))
    >>> 0 < latencies[0].median_ms <= latencies[0].p90_ms
    True
    """
    threads = tuple(threads)
    check_counts(threads, runs)
    found = run_isolated(Path(path), seconds, threads=threads, runs=runs)
    return tuple(Latency(**fields) for fields in found)


def check_counts(threads: Sequence[int], runs: int) -> None:
    """Refuse numbers that `measure_latency` could not use.

    Raises:
        InputError: A number is below 1, or there is none.
    """
    if min(threads, default=0) < 1:
        raise InputError(
            "threads", threads, "numbers of 1 or more", "Use threads=(1, 2)."
        )
    if runs < 1:
        raise InputError("runs", runs, "1 or more", "Use runs=200.")


def machine() -> str:
    """Name what the times were measured on, in one line.

    Example:

    >>> keras_ft.export.machine()  # such as 'AMD EPYC, 2 cores, ...'
    '..., ... cores, ..., LiteRT ...'
    """
    try:
        litert = metadata.version("ai-edge-litert")
    except metadata.PackageNotFoundError:
        litert = "of unknown version"
    return (
        f"{_processor()}, {os.cpu_count()} cores, {platform.system()} "
        f"{platform.machine()}, LiteRT {litert}"
    )


def _processor() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text("utf-8", errors="replace")
    except OSError:  # not Linux
        return platform.processor() or "processor of unknown name"
    for line in text.splitlines():
        if line.startswith("model name"):
            return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
