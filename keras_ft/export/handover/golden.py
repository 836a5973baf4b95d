"""Images whose answers are known, to check a phone with."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from keras_ft import artifacts
from keras_ft.export.export_error import ExportError

FOLDER = "golden"
FILE = "golden.json"
# Measured for files of small networks, against LiteRT on x86: on aarch64
# float32 3e-6, float16 4e-6, dynamic 0.007, int8 5/256 where a mean lies on the
# edge of rounding; in a browser dynamic 0.001, 4-bit weights 0.004.
_TOLERANCE = {"none": 1e-4, "float16": 1e-3}
_TOLERANCE_OF_INTEGERS = 0.02


@dataclasses.dataclass(frozen=True)
class Golden:
    """Some images and what the file says of them in LiteRT.

    Args:
        images: uint8 pixels, shape (N, H, W, C), C is 1 or 3.
        probabilities: The file's, float32, shape (N, classes).
        tolerance: By how much a phone's probabilities may differ.

    Example:

    >>> golden = chosen(images, run_in_litert(path, images), "int8", 10)
    >>> golden.write(Path("handover"), class_names)
    """

    images: np.ndarray
    probabilities: np.ndarray
    tolerance: float

    def write(self, folder: Path, class_names: Sequence[str]) -> None:
        """Write `golden/golden.json` and one PNG for each image."""
        place = folder / FOLDER
        place.mkdir()
        cases = []
        for i, (image, row) in enumerate(
            zip(self.images, self.probabilities, strict=True)
        ):
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
        content = {"tolerance": self.tolerance, "images": cases}
        artifacts.write_json(place / FILE, content)


def _picture(image: np.ndarray) -> Any:
    import PIL.Image  # Absent where there is no TensorFlow.

    grey = image.shape[-1] == 1
    return PIL.Image.fromarray(image[..., 0] if grey else image)


def tolerance(quantization: str) -> float:
    """By how much probabilities of one file differ between processors."""
    return _TOLERANCE.get(quantization, _TOLERANCE_OF_INTEGERS)


def chosen(
    images: np.ndarray,
    probabilities: np.ndarray,
    quantization: str,
    count: int,
) -> Golden:
    """Choose images of all classes, the first ones that are told clearly.

    Args:
        images: uint8 pixels, shape (N, H, W, C).
        probabilities: What the file says of them, shape (N, classes).
        quantization: Of the file.
        count: How many are wanted, at least 1.

    Returns:
        As many as there are, up to `count`.

    Raises:
        ExportError: Every image is nearly a tie of two classes, so that
            another processor may call each of them another class.

    Example:

    >>> len(chosen(images, probabilities, "int8", 10).images)
    10
    """
    allowed = tolerance(quantization)
    second, first = np.sort(probabilities, axis=-1)[:, -2:].T
    clear = np.flatnonzero(first - second > 2 * allowed)
    if not len(clear):
        raise ExportError(
            "samples",
            "images whose two best classes are never more than "
            f"{2 * allowed:g} apart",
            "some that the student tells clearly",
            "Train it longer, or give images of the kind it was trained on.",
        )
    found = np.argmax(probabilities, axis=-1)
    turns: dict[int, int] = {}
    ranked = []
    for i in clear:
        turn = turns.get(int(found[i]), 0)
        turns[int(found[i])] = turn + 1
        ranked.append((turn, int(found[i]), int(i)))
    kept = [i for _, _, i in sorted(ranked)[:count]]
    return Golden(images[kept], probabilities[kept], allowed)
