"""The embedded images through TFDS."""

from pathlib import Path

import numpy as np
import pytest

from keras_ft.data import fashion_mini

tfds = pytest.importorskip("tensorflow_datasets")


def test_builder_needs_no_network_and_keeps_every_image(
    tmp_path: Path,
) -> None:
    from keras_ft.data.fashion_mini.builder import FashionMini

    tfds.display_progress_bar(False)
    builder = FashionMini(data_dir=tmp_path)
    builder.download_and_prepare()
    assert tuple(builder.info.features["label"].names) == (
        fashion_mini.CLASS_NAMES
    )
    embedded = fashion_mini.read()
    for split in ("train", "test"):
        dataset = builder.as_dataset(split=split, as_supervised=True)
        images, labels = next(dataset.batch(5000).as_numpy_iterator())
        expected = embedded[f"{split}_images"]
        assert images.shape == expected.shape
        # TFDS stores in an order of its own.
        found = {
            (int(label), image.tobytes())
            for image, label in zip(images, labels, strict=True)
        }
        wanted = {
            (int(label), image.tobytes())
            for image, label in zip(
                expected, embedded[f"{split}_labels"], strict=True
            )
        }
        assert found == wanted
        assert np.bincount(labels).tolist() == [len(labels) // 10] * 10
