"""Read the four original Fashion-MNIST files, and refuse any other.

The files are found at https://github.com/zalandoresearch/fashion-mnist and in
the Debian package `dataset-fashion-mnist`. Debian recompresses them, so the
check is on the decompressed bytes, which are the same from both places.
"""

import gzip
import hashlib
from pathlib import Path

import numpy as np

SHA256_DECOMPRESSED = {
    "train-images-idx3-ubyte": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}
PREFIX = {"train": "train", "test": "t10k"}


def read_file(source: Path, name: str) -> np.ndarray:
    """Return one idx file as a uint8 array.

    Args:
        source: Folder with the `*-ubyte.gz` files.
        name: File name without `.gz`.

    Raises:
        SystemExit: The content is not the published one.
    """
    content = gzip.decompress((source / f"{name}.gz").read_bytes())
    found = hashlib.sha256(content).hexdigest()
    if found != SHA256_DECOMPRESSED[name]:
        raise SystemExit(
            f"{source / name}.gz: sha256 of the decompressed content is "
            f"{found}, published {SHA256_DECOMPRESSED[name]}. Fetch it again."
        )
    rank = content[3]
    shape = np.frombuffer(content, ">i4", count=rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def read_split(source: Path, split: str) -> tuple[np.ndarray, np.ndarray]:
    """Return images (N, 28, 28, 1) and labels (N,), both uint8.

    Args:
        source: Folder with the `*-ubyte.gz` files.
        split: "train" (60,000 images) or "test" (10,000).
    """
    images = read_file(source, f"{PREFIX[split]}-images-idx3-ubyte")
    labels = read_file(source, f"{PREFIX[split]}-labels-idx1-ubyte")
    return images[..., np.newaxis], labels
