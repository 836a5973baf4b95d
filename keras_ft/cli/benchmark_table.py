"""The lines that `keras-ft benchmark` prints."""

from collections.abc import Sequence
from typing import Any

_BEST = "*"


def table(content: dict[str, Any]) -> list[str]:
    """A benchmark as aligned lines.

    Args:
        content: What `experiments.benchmark_files` returned.

    Returns:
        A head, a line for each file, and what was measured on what.

    Example:

    >>> print("\\n".join(table(content)))
    file           bytes  gzip bytes  as Keras  accuracy  1 thread  2 threads
    a.tflite  *  310,984     254,310    100.0%    96.00%  0.324 ms   0.226 ms
    b.tflite     not run: refused: The model is not a valid Flatbuffer buffer
    """
    files = content["files"]
    columns = _columns(content)
    width = max(len("file"), *(len(row["file"]) for row in files))
    lines = [f"{'file':{width}}    {'  '.join(columns)}"]
    for row in files:
        mark = _BEST if row["pareto"] else " "
        cells = "  ".join(
            f"{cell:>{len(name)}}"
            for name, cell in zip(columns, _cells(row, content), strict=True)
        )
        if not row["latency"]:
            cells = f"not run: {row['error']}"
        elif row["error"]:
            cells += f"  {row['error']}"
        lines.append(f"{row['file']:{width}}  {mark} {cells}".rstrip())
    return [*lines, "", *_remarks(content)]


def _columns(content: dict[str, Any]) -> list[str]:
    columns = ["      bytes", " gzip bytes"]
    if content["keras_accuracy"] is not None:
        columns.append("as Keras")
    if content["dataset"] is not None:
        columns.append("accuracy")
    for threads in content["threads"]:
        columns.append(f" {threads} thread{'s' if threads > 1 else ''}")
    return columns


def _cells(row: dict[str, Any], content: dict[str, Any]) -> Sequence[str]:
    cells = [f"{row['bytes']:,}", f"{row['gzip_bytes'] or 0:,}"]
    if content["keras_accuracy"] is not None:
        cells.append(_share(row["agreement"], 1))
    if content["dataset"] is not None:
        cells.append(_share(row["accuracy"], 2))
    timed = {it["threads"]: it["median_ms"] for it in row["latency"]}
    for threads in content["threads"]:
        cells.append(f"{timed[threads]:.3f} ms" if threads in timed else "-")
    return cells


def _share(share: float | None, digits: int) -> str:
    return "-" if share is None else f"{share:.{digits}%}"


def _remarks(content: dict[str, Any]) -> list[str]:
    remarks = [
        f"Latency: median of {content['runs']} runs on {content['machine']}."
    ]
    if content["dataset"] is not None:
        remarks.append(
            f"Accuracy: on {content['test_examples']:,} test images of "
            f"{content['dataset']}{_of_keras(content['keras_accuracy'])}."
        )
    if any(row["pareto"] for row in content["files"]):
        remarks.append(
            f"{_BEST} no other file is at least as good in accuracy, latency "
            "and size, and better in one."
        )
    return remarks


def _of_keras(accuracy: float | None) -> str:
    return "" if accuracy is None else f"; Keras: {accuracy:.2%}"
