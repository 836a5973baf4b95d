"""Classify images with a `.tflite` file, or time it, and nothing else.

This is also a program, which `litert.py` starts by its path to run a file in
a process of its own. As a module of keras_ft it would import Keras and
TensorFlow, which takes 5 s and 700 MB instead of 0.2 s and 35 MB: it may
import nothing of this package.

The program's one argument is a folder with `request.json`: `path` of the file,
`seconds` and `bytes` it may use, and `threads` and `runs` to time it. Where
the folder has `images.npy`, these are classified instead. It leaves
`reply.json`, and the answers in `answers.npy`.
"""

import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

WARM_UP = 20


def classify(path: str, images: np.ndarray) -> np.ndarray:
    """Classify images one by one.

    Args:
        path: A `.tflite` file with one input and one output.
        images: Pixels 0..255, shape (N, H, W, C).

    Returns:
        The answers, dequantized to float32, shape (N, classes).

    Raises:
        ValueError: The file cannot be run, or not on such images.
    """
    interpreter, image, answer = _load(path, threads=1)
    wanted, given = tuple(image["shape"].tolist()), (1, *images.shape[1:])
    if wanted != given:
        raise ValueError(f"it takes images of shape {wanted}, not {given}")
    found = _run(interpreter, image, {"answer": answer}, images)["answer"]
    return found.reshape(len(found), -1)


def predict(path: str, images: np.ndarray) -> dict[str, np.ndarray]:
    """Run a file of one signature on images, one by one.

    Args:
        path: A `.tflite` file with one input and any outputs.
        images: Pixels 0..255, shape (N, H, W, C).

    Returns:
        The outputs by their names in the signature, dequantized to float32,
        shapes (N, ...).
    """
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=path, num_threads=1)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    outputs = interpreter.get_signature_runner().get_output_details()
    return _run(interpreter, image, outputs, images)


def _run(
    interpreter: Any, image: Any, outputs: dict[str, Any], images: np.ndarray
) -> dict[str, np.ndarray]:
    """Return what each output, by name, says of images that come one by one."""
    rows: dict[str, list[np.ndarray]] = {name: [] for name in outputs}
    for pixels in images:
        values = _as_input(pixels[np.newaxis], image)
        interpreter.set_tensor(image["index"], values)
        interpreter.invoke()
        for name, detail in outputs.items():
            row = interpreter.get_tensor(detail["index"])
            rows[name].append(_dequantize(row, detail)[0])
    return {name: np.stack(found) for name, found in rows.items()}


def measure(path: str, threads: Iterable[int], runs: int) -> list[Any]:
    """Time a file on random pixels, after a warm-up.

    Args:
        path: A `.tflite` file with one input and one output.
        threads: Each number of threads to time it with.
        runs: How often, for each.

    Returns:
        The fields of a `Latency` for each of `threads`.
    """
    random = np.random.default_rng(0)
    found = []
    for count in threads:
        interpreter, image, _ = _load(path, count)
        pixels = random.integers(0, 256, image["shape"], np.uint8)
        interpreter.set_tensor(image["index"], _as_input(pixels, image))
        milliseconds = []
        for run in range(WARM_UP + runs):
            start = time.perf_counter_ns()
            interpreter.invoke()
            if run >= WARM_UP:
                milliseconds.append((time.perf_counter_ns() - start) / 1e6)
        found.append(
            {
                "threads": count,
                "median_ms": float(np.median(milliseconds)),
                "p90_ms": float(np.percentile(milliseconds, 90)),
                "runs": len(milliseconds),
            }
        )
    return found


def _load(path: str, threads: int) -> tuple[Any, Any, Any]:
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


def _as_input(pixels: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    """Return pixels 0..255 in the input's type and on its scale."""
    kind = np.dtype(detail["dtype"])
    scale, zero_point = detail["quantization"]
    if kind.kind not in "iuf":
        raise ValueError(f"its input is {kind}, not pixels")
    if kind.kind == "f" or not scale:
        return pixels.astype(kind)
    bounds = np.iinfo(kind)
    values = np.round(pixels / scale) + zero_point
    return np.clip(values, bounds.min, bounds.max).astype(kind)


def _dequantize(row: np.ndarray, detail: dict[str, Any]) -> np.ndarray:
    scale, zero_point = detail["quantization"]
    if not scale or row.dtype.kind == "f":
        return row.astype(np.float32)
    return ((row.astype(np.float32) - zero_point) * scale).astype(np.float32)


def main(folder: Path) -> None:
    """Do what `request.json` asks for, and leave `reply.json`."""
    request = json.loads((folder / "request.json").read_text("utf-8"))
    path, threads = request["path"], request["threads"]
    _limit(request["bytes"], request["seconds"], max(threads, default=1))
    reply: dict[str, Any] = {}
    try:
        if (folder / "images.npy").exists():
            images = np.load(
                folder / "images.npy", mmap_mode="r", allow_pickle=False
            )
            np.save(folder / "answers.npy", classify(path, images))
        else:
            reply["latency"] = measure(path, threads, request["runs"])
    except MemoryError:
        gibibytes = request["bytes"] / 2**30
        reply["error"] = f"it needs more than {gibibytes:.1f} GiB of memory"
    except Exception as error:  # LiteRT raises several kinds for a bad file.
        reply["error"] = str(error).strip() or type(error).__name__
    (folder / "reply.json").write_text(json.dumps(reply), "utf-8")


def _limit(memory: int, seconds: float, threads: int) -> None:
    try:
        import resource
    except ImportError:  # Windows
        return
    limits = {
        resource.RLIMIT_AS: memory,
        # Should nobody be left to end this process.
        resource.RLIMIT_CPU: int(seconds * (threads + 1)) + 1,
        resource.RLIMIT_FSIZE: memory,
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


if __name__ == "__main__":
    main(Path(sys.argv[1]))
