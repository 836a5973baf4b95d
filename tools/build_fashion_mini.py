"""Build the embedded Fashion-MNIST subset from the original files.

    python tools/build_fashion_mini.py --source DIR [--out DIR]

Takes 500 images per class from the official training split and 200 per class
from the official test split. An image is chosen by the rank of a SHA-256 over
(seed, split, index), so the choice depends on no library's random numbers;
the order of the original files is kept. Running it again gives the same bytes
(with the same zlib).
"""

import argparse
import hashlib
import io
import json
import zipfile
from pathlib import Path

import fashion_mnist_files
import numpy as np

SEED = 0
PER_CLASS = {"train": 500, "test": 200}
PACKAGE = Path(__file__).parents[1] / "keras_ft/data/fashion_mini"


def choose(labels: np.ndarray, split: str) -> np.ndarray:
    """Return positions of equally many images per class, ascending."""

    def rank(index: int) -> str:
        return hashlib.sha256(f"{SEED}:{split}:{index}".encode()).hexdigest()

    chosen: list[int] = []
    for label in range(10):
        members = np.flatnonzero(labels == label).tolist()
        chosen += sorted(members, key=rank)[: PER_CLASS[split]]
    return np.sort(np.array(chosen, np.int32))


def build_arrays(source: Path) -> dict[str, np.ndarray]:
    """Return the arrays of the embedded file, by name."""
    arrays = {}
    for split in PER_CLASS:
        images, labels = fashion_mnist_files.read_split(source, split)
        indices = choose(labels, split)
        arrays[f"{split}_images"] = images[indices]
        arrays[f"{split}_labels"] = labels[indices]
        arrays[f"{split}_indices"] = indices
    return arrays


def training_statistics(source: Path) -> dict[str, float]:
    """Return mean and deviation of the 60,000 training images, pixels / 255."""
    pixels = fashion_mnist_files.read_split(source, "train")[0] / 255.0
    return {"mean": float(pixels.mean()), "std": float(pixels.std())}


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    """Return a compressed `.npz` that carries no date and no platform."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, array, version=(1, 0))
            info = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            info.create_system = 3
            info.external_attr = 0o644 << 16
            archive.writestr(
                info, member.getvalue(), zipfile.ZIP_DEFLATED, compresslevel=9
            )
    return buffer.getvalue()


def provenance(
    source: Path, arrays: dict[str, np.ndarray], content: bytes
) -> dict[str, object]:
    """Return where the embedded file comes from and how to check it."""
    return {
        "name": "fashion_mini",
        "what": "Stratified subset of Fashion-MNIST, 28x28 grey, 10 classes",
        "origin": "https://github.com/zalandoresearch/fashion-mnist",
        "licence": "MIT, (c) 2017 Zalando SE, see LICENSE",
        "read_from": "Debian package dataset-fashion-mnist "
        "0.0~git20200523.55506a9-1",
        "source_sha256_decompressed": fashion_mnist_files.SHA256_DECOMPRESSED,
        "script": "tools/build_fashion_mini.py",
        "seed": SEED,
        "images_per_class": PER_CLASS,
        "drawn_from": {
            "train": "official training split",
            "test": "official test split",
        },
        "training_split_statistics": training_statistics(source),
        "npz_bytes": len(content),
        "npz_sha256": hashlib.sha256(content).hexdigest(),
        "arrays": {
            name: {
                "shape": list(array.shape),
                "dtype": str(array.dtype),
                "sha256": hashlib.sha256(array.tobytes()).hexdigest(),
            }
            for name, array in arrays.items()
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=PACKAGE)
    flags = parser.parse_args()
    arrays = build_arrays(flags.source)
    content = npz_bytes(arrays)
    facts = provenance(flags.source, arrays, content)
    flags.out.mkdir(parents=True, exist_ok=True)
    (flags.out / "fashion_mini.npz").write_bytes(content)
    (flags.out / "PROVENANCE.json").write_text(json.dumps(facts, indent=2))
    print(f"{flags.out / 'fashion_mini.npz'}: {len(content):,} bytes")


if __name__ == "__main__":
    main()
