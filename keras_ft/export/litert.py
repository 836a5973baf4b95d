"""Run `.tflite` files in LiteRT, in this process or in one of their own.

LiteRT refuses most damaged files with an error, but not all: some crash it,
hang it or ask for all of the memory. A file that was not written here gets a
process of its own, with limits, and whatever happens there becomes an error
here. That keeps damage away, and is no wall against a file written to attack.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft.artifacts import PathLike
from keras_ft.export import litert_child
from keras_ft.export.errors import ModelFileError

TIME_LIMIT = 600.0  # seconds
_MEMORY_LIMIT = 4 * 2**30  # bytes
# A flatbuffer counts its bytes in 31 bits.
_LARGEST_FILE = 2**31 - 1
# Bytes read at the end of what a crashed process wrote, which may be long.
_TAIL = 4096
_CHILD = Path(litert_child.__file__)
# Each thread of OpenBLAS reserves memory, and nothing here needs it.
_ONE_THREAD = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}


def run_in_litert(path: PathLike, images: np.ndarray) -> Any:
    """Run a file on images, one by one, in LiteRT and in this process.

    TensorFlow's own interpreter is deprecated, and is not what a phone has.

    Args:
        path: A file written by `to_tflite`.
        images: Pixel values 0..255, shape (N, H, W, C).

    Returns:
        Probabilities, float32, shape (N, classes), or (N, H, W, classes) for
        classes of each pixel; of a file with several outputs a dictionary by
        name. Integers that a file returns are scaled as it says.

    Example:

    >>> images, labels = data.examples("test", 100)
    >>> probabilities = keras_ft.export.run_in_litert("student.tflite", images)
    >>> accuracy = np.mean(np.argmax(probabilities, axis=-1) == labels)
    """
    with suppressed_output():
        outputs = litert_child.predict(str(path), images)
    return outputs if len(outputs) > 1 else next(iter(outputs.values()))


def classify_isolated(
    path: Path, images: np.ndarray, seconds: float = TIME_LIMIT
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
    answers: np.ndarray = run_isolated(path, seconds, images=images)
    if not np.isfinite(answers).all():
        reason = "there is NaN or infinity among its answers"
        raise ModelFileError(path, "refused", reason)
    return answers


def run_isolated(
    path: Path,
    seconds: float,
    *,
    images: np.ndarray | None = None,
    threads: tuple[int, ...] = (),
    runs: int = 0,
    program: Path = _CHILD,
) -> Any:
    """Run a file in a process of its own, to classify images or to time it.

    Args:
        path: A `.tflite` file with one input and one output.
        seconds: Time limit for all of it.
        images: What to classify; `None` to time it.
        threads: Each number of threads to time it with.
        runs: How often, for each.
        program: What the process runs.

    Returns:
        The answers (N, classes), or the fields of a `Latency` for each of
        `threads`.

    Raises:
        ModelFileError: It cannot be run, not on these images, or not in time.
    """
    size = path.stat().st_size if path.is_file() else 0
    if not 0 < size <= _LARGEST_FILE:
        reason = f"it has {size:,} bytes" if size else "it is empty or no file"
        raise ModelFileError(path, "refused", reason)
    request = {
        "path": str(path.resolve()),
        "seconds": seconds,
        "bytes": _MEMORY_LIMIT,
        "threads": threads,
        "runs": runs,
    }
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        if images is not None:
            np.save(folder / "images.npy", images)
        (folder / "request.json").write_text(json.dumps(request), "utf-8")
        _run_program(program, path, folder, seconds)
        reply = json.loads((folder / "reply.json").read_text("utf-8"))
        if "error" in reply:
            raise ModelFileError(path, "refused", _one_line(reply["error"]))
        if images is None:
            return reply["latency"]
        return np.load(folder / "answers.npy", allow_pickle=False)


def _run_program(
    program: Path, path: Path, folder: Path, seconds: float
) -> None:
    with open(folder / "log.txt", "w+b") as log:
        try:
            # -P: the modules beside the program are not for `import`.
            code = subprocess.run(
                [sys.executable, "-P", str(program), str(folder)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **_ONE_THREAD},
                timeout=seconds,
                check=False,
            ).returncode
        except subprocess.TimeoutExpired:
            raise ModelFileError(
                path,
                "timed out",
                f"it was not done after {seconds:g} s",
                "Ask for fewer runs and images, or give it more time.",
            ) from None
        if code != 0:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _TAIL))
            text = log.read().decode("utf-8", errors="replace")
            raise ModelFileError(path, "crashed", _crash(code, text))


def _crash(code: int, log: str) -> str:
    try:
        what = signal.Signals(-code).name
    except ValueError:
        what = f"exit code {code}"
    lines = [x for x in log.splitlines() if x and not x.startswith("INFO")]
    said = f", last words: {_one_line(lines[-1])}" if lines else ""
    return f"it crashed LiteRT ({what}{said})"


def _one_line(text: str) -> str:
    return " ".join(text.split())[:300]


@contextlib.contextmanager
def suppressed_output() -> Iterator[None]:
    """Drop what is printed inside the block, by Python and by C++ alike.

    The converter and LiteRT log from C++ straight to the process's file
    descriptors, out of reach of `contextlib.redirect_stderr`. What matters is
    in their exceptions, which pass through.
    """
    if "tensorflow" in sys.modules:
        # Its logger keeps the stream that it finds when it is first used: it
        # would write to our closed file ever after.
        sys.modules["tensorflow"].get_logger()
    sys.stdout.flush()
    sys.stderr.flush()
    with contextlib.ExitStack() as stack:
        void = stack.enter_context(open(os.devnull, "w", encoding="utf-8"))
        stack.enter_context(contextlib.redirect_stdout(void))
        stack.enter_context(contextlib.redirect_stderr(void))
        stack.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
        for descriptor in (1, 2):
            kept = os.dup(descriptor)
            stack.callback(os.close, kept)
            stack.callback(os.dup2, kept, descriptor)
            os.dup2(void.fileno(), descriptor)
        yield
