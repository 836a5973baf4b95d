"""Students as files, and environments of the runtimes they will meet."""

from pathlib import Path

import keras
import numpy as np
import pytest

from keras_ft import export
from keras_ft import zoo

CLASSES = ("bus", "cat", "cup", "fern", "shoe")
SIZE = 32
QUANTIZATIONS = ("none", "dynamic", "int8", "int8_io")


@pytest.fixture(scope="session")
def mediapipe_python(other_python) -> str:
    """The interpreter of an environment with MediaPipe."""
    return other_python("mediapipe", "MediaPipe environment")


@pytest.fixture(scope="session")
def aarch64_python(other_python) -> str:
    """An interpreter with LiteRT on an emulated ARM processor."""
    return other_python("aarch64", "emulated ARM processor")


@pytest.fixture(scope="session")
def pictures():
    """40 RGB pictures of random gradients and noise, uint8."""
    random = np.random.default_rng(3)
    ramp = np.linspace(0, 1, SIZE)[:, np.newaxis] * np.ones((1, SIZE))
    slopes = random.uniform(-255, 255, (40, 1, 1, 3))
    levels = random.uniform(0, 255, (40, 1, 1, 3))
    noise = random.normal(0, 30, (40, SIZE, SIZE, 3))
    found = levels + slopes * ramp[..., np.newaxis] + noise
    return np.clip(found, 0, 255).astype(np.uint8)


class Pixels:
    """0..255 to about -1..1."""

    def scale_and_shift(self):
        return np.full(3, 1 / 127.5, "float32"), np.full(3, -1.0, "float32")


@pytest.fixture(scope="session")
def exported_files(pictures, tmp_path_factory) -> dict[str, Path]:
    """One student's files, by quantization."""
    keras.utils.set_random_seed(0)
    student = zoo.resnet8(classes=len(CLASSES), input_shape=(SIZE, SIZE, 3))
    # Spread logits, as a trained network has; untrained ones nearly tie.
    head = student.layers[-1]
    head.kernel.assign(head.kernel * 20.0)
    folder = tmp_path_factory.mktemp("exported")
    files = {name: folder / f"{name}.tflite" for name in QUANTIZATIONS}
    for quantization, path in files.items():
        export.to_tflite(
            student,
            path,
            quantization,
            calibration=pictures,
            normalization=Pixels(),
            class_names=CLASSES,
            min_agreement=0.8,
        )
    return files


@pytest.fixture(scope="session", params=QUANTIZATIONS)
def exported(request, exported_files, pictures):
    """A student's file and what LiteRT says of the pictures."""
    path = exported_files[request.param]
    return path, export.run_in_litert(path, pictures.astype("float32"))
