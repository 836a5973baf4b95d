"""A benchmark of `.tflite` files as a page of its own."""

from pathlib import Path
from typing import Any

from keras_ft import artifacts
from keras_ft.report import pareto
from keras_ft.report.templates import template

PAGE = "benchmark.html"


def write_benchmark(
    folder: artifacts.PathLike, benchmark: dict[str, Any]
) -> Path:
    """Write `benchmark.html`: the table and the Pareto plots.

    Args:
        folder: Where to; made if it is missing.
        benchmark: What `runs.benchmark_files` returned.

    Returns:
        The path of the page, one HTML file without scripts or outside
        resources.

    Example:

    >>> write_benchmark("comparison", runs.benchmark_files(["a.tflite"]))
    PosixPath('comparison/benchmark.html')
    """
    count = len(benchmark["files"])
    path = Path(folder) / PAGE
    page = template("benchmark.html").render(
        title=f"Benchmark of {count} .tflite file{'s' if count != 1 else ''}",
        benchmark=benchmark,
        pareto_plots=pareto.plots(benchmark),
    )
    artifacts.write_text(path, page)
    return path
