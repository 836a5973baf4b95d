"""The program that runs one `.tflite` file, in a process of its own.

`isolated.py` starts it by its path, not as a module of keras_ft: that would
import Keras and TensorFlow, which takes 5 s and 700 MB instead of 0.2 s and
35 MB. It may thus import nothing of this package.

Its one argument is a folder with `request.json`: `path` of the file,
`seconds` and `bytes` it may use, and either `images`, to classify those of
`images.npy`, or `threads` and `runs`, to time it. It leaves `reply.json`, and
the answers in `answers.npy`.
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 20


def main(folder: Path) -> None:
    """Do what `request.json` asks for.

    Args:
        folder: Where that file is and where the reply is put.
    """
    request = json.loads((folder / "request.json").read_text("utf-8"))
    _limit(request)
    try:
        if request["images"]:
            images = np.load(
                folder / "images.npy", mmap_mode="r", allow_pickle=False
            )
            np.save(folder / "answers.npy", _classify(request["path"], images))
            reply: dict[str, Any] = {}
        else:
            reply = {"latency": _latency(request)}
    except MemoryError:
        gibibytes = request["bytes"] / 2**30
        reply = {"error": f"it needs more than {gibibytes:.1f} GiB of memory"}
    except Exception as error:  # LiteRT raises several kinds for a bad file.
        reply = {"error": str(error).strip() or type(error).__name__}
    (folder / "reply.json").write_text(json.dumps(reply), "utf-8")


def _limit(request: dict[str, Any]) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    cores = max(request["threads"], default=1)
    limits = {
        resource.RLIMIT_AS: request["bytes"],
        # Should nobody be left to end this process.
        resource.RLIMIT_CPU: int(request["seconds"] * (cores + 1)) + 1,
        resource.RLIMIT_FSIZE: request["bytes"],
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, most = resource.getrlimit(kind)
        if most != resource.RLIM_INFINITY:
            value = min(value, most)
        try:
            resource.setrlimit(kind, (value, most))
        except (ValueError, OSError):
            pass  # macOS knows no limit of the address space.


def _loaded(path: str, threads: int) -> tuple[Any, Any, Any]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=threads)
    inputs = interpreter.get_input_details()
    outputs = interpreter.get_output_details()
    if (len(inputs), len(outputs)) != (1, 1):
        raise ValueError(
            f"it has {len(inputs)} inputs and {len(outputs)} outputs, "
            "a classifier has one of each"
        )
    interpreter.allocate_tensors()
    # Shapes may be known only now.
    return (
        interpreter,
        interpreter.get_input_details()[0],
        interpreter.get_output_details()[0],
    )


def _latency(request: dict[str, Any]) -> list[dict[str, Any]]:
    random = np.random.default_rng(0)
    found = []
    for threads in request["threads"]:
        interpreter, image, _ = _loaded(request["path"], threads)
        pixels = random.integers(0, 256, image["shape"], np.uint8)
        interpreter.set_tensor(image["index"], _as_input(pixels, image))
        milliseconds = []
        for run in range(WARM_UP + request["runs"]):
            start = time.perf_counter_ns()
            interpreter.invoke()
            if run >= WARM_UP:
                milliseconds.append((time.perf_counter_ns() - start) / 1e6)
        found.append(
            {
                "threads": threads,
                "median_ms": float(np.median(milliseconds)),
                "p90_ms": float(np.percentile(milliseconds, 90)),
                "runs": len(milliseconds),
            }
        )
    return found


def _classify(path: str, images: np.ndarray) -> np.ndarray:
    interpreter, image, answer = _loaded(path, 1)
    wanted, given = tuple(image["shape"].tolist()), (1, *images.shape[1:])
    if wanted != given:
        raise ValueError(f"it takes images of shape {wanted}, not {given}")
    rows = []
    for pixels in images:
        values = _as_input(pixels[np.newaxis], image)
        interpreter.set_tensor(image["index"], values)
        interpreter.invoke()
        row = interpreter.get_tensor(answer["index"])
        rows.append(_in_float(row, answer).reshape(-1))
    answers = np.stack(rows)
    if not np.isfinite(answers).all():
        raise ValueError("there is NaN or infinity among its answers")
    return answers


def _as_input(pixels: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Pixels 0..255 as the input's type; its scale says what they are there."""
    kind = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if kind.kind not in "iuf":
        raise ValueError(f"its input is {kind}, not pixels")
    if kind.kind == "f" or not scale:
        return pixels.astype(kind)
    bounds = np.iinfo(kind)
    values = np.round(pixels / scale) + zero_point
    return np.clip(values, bounds.min, bounds.max).astype(kind)


def _in_float(row: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    if not scale or row.dtype.kind == "f":
        return row.astype(np.float32)
    return ((row.astype(np.float32) - zero_point) * scale).astype(np.float32)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
