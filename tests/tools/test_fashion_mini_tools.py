"""The scripts that made what is embedded.

With the original files (`FASHION_MNIST_DIR` names their folder) the embedded
file is built again and compared byte by byte.
"""

import gzip
import importlib
import os
from pathlib import Path
from types import ModuleType

import keras
import numpy as np
import pytest

from keras_ft.data import fashion_mini


@pytest.fixture
def build(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("build_fashion_mini")


@pytest.fixture
def train(root: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("train_fashion_mini_teacher")


def test_rebuilding_gives_the_same_bytes(
    build: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = os.environ.get("FASHION_MNIST_DIR")
    if not source:
        pytest.skip("FASHION_MNIST_DIR does not name the original files")
    arguments = ["build", "--source", source, "--out", str(tmp_path)]
    monkeypatch.setattr("sys.argv", arguments)
    build.main()
    for name in ("fashion_mini.npz", "PROVENANCE.json"):
        shipped = fashion_mini.FILE.with_name(name).read_bytes()
        assert (tmp_path / name).read_bytes() == shipped


def test_the_archive_depends_on_its_arrays_only(build: ModuleType) -> None:
    few = {"a": np.arange(6, dtype=np.uint8), "b": np.ones((2, 3))}
    assert build.npz_bytes(few) == build.npz_bytes(few)


def test_the_choice_is_balanced_and_seeded(build: ModuleType) -> None:
    labels = np.arange(8000) % 10
    chosen = build.choose(labels, "train")
    assert np.bincount(labels[chosen]).tolist() == [500] * 10
    assert np.all(np.diff(chosen) > 0)
    np.testing.assert_array_equal(chosen, build.choose(labels, "train"))
    assert len(build.choose(labels, "test")) == 2000


def test_files_that_are_not_the_originals_are_refused(
    build: ModuleType, tmp_path: Path
) -> None:
    name = "t10k-labels-idx1-ubyte"
    (tmp_path / f"{name}.gz").write_bytes(gzip.compress(b"\0\0\x08\1"))
    with pytest.raises(SystemExit, match="sha256"):
        build.fashion_mnist_files.read_file(tmp_path, name)


@pytest.mark.long
def test_the_teacher_is_saved_plain_and_unchanged(
    train: ModuleType, tmp_path: Path
) -> None:
    embedded = fashion_mini.read()
    images = embedded["train_images"][:256]
    labels = embedded["train_labels"][:256]
    model = train.network()
    before = model.get_weights()
    train.train(model, train.batches(images, labels, train=True), 1)
    assert not np.array_equal(before[0], model.get_weights()[0])
    facts = train.provenance(epochs=1, seed=0)
    train.save(model, tmp_path, facts)
    loaded = keras.models.load_model(tmp_path / "fashion_mini.keras")
    assert not loaded.compiled and loaded.losses == []
    inputs = train.normalization.FASHION_MNIST.apply(images[:8])
    np.testing.assert_array_equal(loaded(inputs), model(inputs))
    assert (tmp_path / "fashion_mini.json").is_file()
