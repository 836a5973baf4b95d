"""Run `.tflite` files that nobody vouches for.

LiteRT refuses most damaged files with an error, but not all: some crash it,
hang it or ask for all of the memory. So every file gets a process of its own,
with limits, and whatever happens there becomes an error here. It keeps damage
away, and is no wall against a file written to attack.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft.export.model_file_error import ModelFileError

SECONDS = 600.0
BYTES = 4 * 2**30
# A flatbuffer counts its bytes in 31 bits.
_LARGEST = 2**31 - 1
# Of what a crashed process said, its log may be long.
_TAIL = 4096
_CHILD = Path(__file__).with_name("litert_child.py")
# Each thread of OpenBLAS reserves memory, and nothing here needs it.
_SMALL = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def classify_isolated(
    path: Path, images: np.ndarray, seconds: float = SECONDS
) -> np.ndarray:
    """Classify images in LiteRT, in a process of its own.

    Args:
        path: A `.tflite` file with one input, pixels 0..255 in any number
            type, and one output.
        images: Pixels 0..255, shape (N, H, W, C).
        seconds: Time limit.

    Returns:
        Its answers, dequantized to float32, shape (N, classes).

    Raises:
        ModelFileError: It cannot be run, not on these images, or not in time.

    Example:

    >>> from pathlib import Path
    >>> images, labels = data.examples("test", 100)
    >>> answers = keras_ft.export.classify_isolated(
    ...     Path("student.tflite"), images)
    >>> answers.shape
    (100, 10)
    """
    _, answers = _run(path, seconds, images=images)
    assert answers is not None
    return answers


def time_isolated(
    path: Path,
    threads: tuple[int, ...],
    runs: int,
    seconds: float = SECONDS,
) -> list[dict[str, Any]]:
    """Time a file in LiteRT, in a process of its own.

    Args:
        path: A `.tflite` file with one input and one output.
        threads: Each number of threads to time it with.
        runs: How often, for each.
        seconds: Time limit for all of it.

    Returns:
        The fields of a `Latency` for each of `threads`.

    Raises:
        ModelFileError: It cannot be run, or not in time.

    Example:

    >>> time_isolated(Path("student.tflite"), (1, 2), 200)[0]["median_ms"]
    0.678
    """
    reply, _ = _run(path, seconds, threads=threads, runs=runs)
    latency: list[dict[str, Any]] = reply["latency"]
    return latency


def _run(
    path: Path,
    seconds: float,
    images: np.ndarray | None = None,
    threads: tuple[int, ...] = (),
    runs: int = 0,
) -> tuple[dict[str, Any], np.ndarray | None]:
    _check_size(path)
    request = {
        "path": str(path.resolve()),
        "seconds": seconds,
        "bytes": BYTES,
        "images": images is not None,
        "threads": threads,
        "runs": runs,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if images is not None:
            np.save(folder / "images.npy", images)
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        log = folder / "log.txt"
        code = _start(path, folder, log, seconds)
        if code != 0:
            raise ModelFileError(path, "crashed", _crash(code, log))
        reply = json.loads((folder / "reply.json").read_text("utf-8"))
        if "error" in reply:
            raise ModelFileError(path, "refused", _one_line(reply["error"]))
        answers = None
        if images is not None:
            answers = np.load(folder / "answers.npy", allow_pickle=False)
        return reply, answers


def _check_size(path: Path) -> None:
    size = path.stat().st_size if path.is_file() else 0
    if size == 0 or size > _LARGEST:
        why = f"a file of {size:,} bytes" if size else "an empty or no file"
        raise ModelFileError(path, "refused", why)


def _start(path: Path, folder: Path, log: Path, seconds: float) -> int:
    with open(log, "wb") as sink:
        try:
            # -P: the modules beside the program are not for `import`.
            return subprocess.run(
                [sys.executable, "-P", str(_CHILD), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                env={**os.environ, **_SMALL},
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise ModelFileError(
                path,
                "timed out",
                f"a file that was not done after {seconds:g} s",
                "Ask for fewer runs and images, or give it more time.",
            ) from None


def _crash(code: int, log: Path) -> str:
    try:
        what = signal.Signals(-code).name
    except ValueError:
        what = f"exit code {code}"
    with log.open("rb") as stream:
        stream.seek(-min(_TAIL, log.stat().st_size), os.SEEK_END)
        text = stream.read().decode("utf-8", errors="replace")
    lines = [x for x in text.splitlines() if x and not x.startswith("INFO")]
    said = f", last words: {_one_line(lines[-1])}" if lines else ""
    return f"a file that crashed LiteRT ({what}{said})"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]
