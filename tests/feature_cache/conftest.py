import shutil

import keras
import numpy as np
import pytest

from keras_ft.data.batches import split_in_memory
from keras_ft.data.image_data import from_splits
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.normalization import Normalization
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import store

NAMES = ("a", "b", "c", "d")
SIZES = {"train": 40, "validation": 20, "test": 12}
FULL = {"train": 32, "validation": 16, "test": 16}
# Bits that do not depend on the processor; test_teacher_pass.py has more.
_PLAINLY = {"views": 2, "acceleration": "none", "echo": None}


def _data(
    pixel=None,
    label=None,
    swap=False,
    size=8,
    mean=0.5,
    sizes=SIZES,
    **settings,
):
    """40 + 20 + 12 random images in batches of 16; changed as asked."""
    rng = np.random.default_rng(0)
    splits = {}
    for split, count in sizes.items():
        images = rng.integers(0, 256, (count, size, size, 3)).astype("uint8")
        labels = rng.integers(0, 4, count).astype("int32")
        if split == "train" and pixel is not None:
            images[pixel] ^= 1
        if split == "train" and label is not None:
            labels[label] = (labels[label] + 1) % 4
        if split == "train" and swap:
            images, labels = images[::-1].copy(), labels[::-1].copy()
        splits[split] = split_in_memory(images, labels)
    normalization = Normalization((mean,) * 3, (0.25,) * 3)
    asked = LoadSettings(
        **{"batch_size": 16, "normalization": normalization, **settings}
    )
    return from_splits("tiny", splits, NAMES, asked)


@pytest.fixture(scope="session")
def make_data():
    return _data


@pytest.fixture(scope="session")
def data():
    return _data()


@pytest.fixture(scope="session")
def full_batches():
    """32 + 16 + 16 images: every batch has 16."""
    return _data(sizes=FULL)


@pytest.fixture
def teacher(network):
    return network(name="teacher")


@pytest.fixture
def small_blocks(monkeypatch):
    """One batch per block."""
    monkeypatch.setattr(store, "BLOCK_BYTES", 1)


@pytest.fixture(scope="session")
def _finished(tmp_path_factory, network, data):
    folder = tmp_path_factory.mktemp("finished") / "cache"
    keras.utils.set_random_seed(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "BLOCK_BYTES", 1)
        teacher = network(name="teacher")
        FeatureCache.build(folder, teacher, data, **_PLAINLY)
    return folder


@pytest.fixture
def folder(_finished, tmp_path):
    """A finished cache of `teacher` and `data`: nine blocks of one batch."""
    shutil.copytree(_finished, tmp_path / "cache")
    return tmp_path / "cache"


@pytest.fixture
def build():
    """`FeatureCache.build` without a word, and without folding."""

    def quietly(*args, **kwargs):
        return FeatureCache.build(*args, **{**_PLAINLY, **kwargs})

    return quietly


@pytest.fixture
def blocks_of():
    """Names and bytes of a cache's blocks."""
    return lambda folder: {
        path.name: path.read_bytes() for path in folder.glob("*.rows")
    }


@pytest.fixture
def counting(teacher):
    """The teacher as `forward`, which counts and can be made to fail."""
    from keras_ft.feature_cache.teacher_pass import live_teacher
    from keras_ft.features.taps import find_tap

    run = live_teacher(teacher, [find_tap(teacher, None, "taps")], 0)

    class Counting:
        calls = 0
        before = {}

        def __call__(self, images):
            self.calls += 1
            self.before.get(self.calls, lambda: None)()
            return run(images)

    return Counting()
