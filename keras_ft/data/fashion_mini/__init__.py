"""The embedded default: a stratified subset of Fashion-MNIST (MIT)."""

from pathlib import Path

import numpy as np

FILE = Path(__file__).with_name("fashion_mini.npz")
CLASS_NAMES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)


def read() -> dict[str, np.ndarray]:
    """Return the arrays of the embedded file by name.

    Returns:
        For `split` "train" (5,000 images) and "test" (2,000):
        `<split>_images` uint8 (N, 28, 28, 1), `<split>_labels` uint8 (N,),
        `<split>_indices` int32 (N,), the positions in the official split.

    Example:

    >>> read()["test_images"].shape
    (2000, 28, 28, 1)
    """
    with np.load(FILE, allow_pickle=False) as archive:
        return {name: archive[name] for name in archive.files}
