"""Images whose answers are known, to check a phone with."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft import artifacts
from keras_ft.export.errors import ExportError

FOLDER = "golden"
FILE = "golden.json"
# Measured for files of small networks, against LiteRT on x86: on aarch64
# float32 3e-6, float16 4e-6, dynamic 0.007, int8 5/256 where a mean lies on the
# edge of rounding; in a browser dynamic 0.001, 4-bit weights 0.004.
_TOLERANCE = {"none": 1e-4, "float16": 1e-3}
_TOLERANCE_OF_INTEGERS = 0.02


def tolerance(quantization: str) -> float:
    """Return by how much one file's probabilities differ between processors."""
    return _TOLERANCE.get(quantization, _TOLERANCE_OF_INTEGERS)


def choose_golden(
    probabilities: np.ndarray, quantization: str, count: int
) -> list[int]:
    """Choose images of all classes, the first ones that are told clearly.

    Args:
        probabilities: What the file says of each image, shape (N, classes).
        quantization: Of the file.
        count: How many are wanted, at least 1.

    Returns:
        The places of as many images as there are, up to `count`.

    Raises:
        ExportError: Every image is nearly a tie of two classes, so that
            another processor may call each of them another class.
    """
    margin = 2 * tolerance(quantization)
    second, first = np.sort(probabilities, axis=-1)[:, -2:].T
    clear = np.flatnonzero(first - second > margin)
    if not len(clear):
        raise ExportError(
            "The student's two best classes are never more than "
            f"{margin:g} apart on the samples, so no image would show that a "
            "phone is right. Train it longer, or give images of the kind it "
            "was trained on."
        )
    found = np.argmax(probabilities, axis=-1)
    turns: dict[int, int] = {}
    ranked = []
    for i in clear:
        turn = turns.get(int(found[i]), 0)
        turns[int(found[i])] = turn + 1
        ranked.append((turn, int(found[i]), int(i)))
    return [i for _, _, i in sorted(ranked)[:count]]


def write_golden(
    folder: Path,
    images: np.ndarray,
    probabilities: np.ndarray,
    quantization: str,
    class_names: Sequence[str],
) -> None:
    """Write `golden/golden.json` and one PNG for each image.

    Args:
        folder: Where to.
        images: uint8 pixels, shape (N, H, W, C), C is 1 or 3.
        probabilities: The file's, float32, shape (N, classes).
        quantization: Of the file.
        class_names: One per class.
    """
    place = folder / FOLDER
    place.mkdir()
    cases = []
    for i, (image, row) in enumerate(zip(images, probabilities, strict=True)):
        name = f"{i:02}.png"
        with artifacts.atomic_path(place / name) as temporary:
            _picture(image).save(temporary)
        top = int(np.argmax(row))
        cases.append(
            {
                "file": name,
                "top1": top,
                "label": class_names[top],
                "probabilities": [round(float(p), 6) for p in row],
            }
        )
    content = {"tolerance": tolerance(quantization), "images": cases}
    artifacts.write_json(place / FILE, content)


def _picture(image: np.ndarray) -> Any:
    import PIL.Image  # Absent where there is no TensorFlow.

    grey = image.shape[-1] == 1
    return PIL.Image.fromarray(image[..., 0] if grey else image)
