"""What every test finds set up: two logical CPUs, seeds, shared folders."""

import os

# Before TensorFlow and matplotlib are first imported: both read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import keras
import numpy as np
import pytest

pytest_plugins = ["what_works_where"]

if keras.backend.backend() == "tensorflow":
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(2)
    tf.config.threading.set_inter_op_parallelism_threads(2)
    # Logical devices cannot be changed once TensorFlow has started.
    tf.config.set_logical_device_configuration(
        tf.config.list_physical_devices("CPU")[0],
        [tf.config.LogicalDeviceConfiguration()] * 2,
    )
    tf.config.experimental.enable_op_determinism()

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _fresh_start():
    """The same seeds, layer names and precision for every test."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    keras.config.set_dtype_policy("float32")


@pytest.fixture(scope="session")
def root() -> Path:
    """The repository."""
    return ROOT


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of prepared data and reference arrays beside the checkout."""
    return _present(ROOT.parent / "shared")


@pytest.fixture(scope="session")
def reference(shared: Path) -> Path:
    """Reference arrays computed by other implementations."""
    return _present(shared / "reference")


@pytest.fixture(scope="session")
def tfds_folder(shared: Path) -> Path:
    """A prepared TensorFlow Datasets folder with CIFAR-10."""
    return _present(shared / "data" / "tfds")


@pytest.fixture(scope="session")
def two_devices() -> list[str]:
    """Two logical CPUs, for a strategy with two replicas."""
    return ["CPU:0", "CPU:1"]


def _present(folder: Path) -> Path:
    if not folder.is_dir():
        pytest.skip(f"no {folder.name} folder beside the checkout")
    return folder


@pytest.fixture(scope="session")
def other_python():
    """Finds the interpreter that `make install-<name>` makes.

    One that an environment variable names must be there; the usual one may be
    missing, and the test is skipped.
    """

    def find(name: str, what: str) -> str:
        named = os.environ.get(f"KERAS_FT_{name.upper()}_PYTHON")
        python = Path(named or ROOT / f".venv-{name}" / "bin" / "python")
        if named is None and not python.is_file():
            pytest.skip(f"no {what}: make install-{name}")
        return str(python)

    return find


@pytest.fixture(scope="session")
def network():
    """Builds small convolutional classifiers, with or without extras."""
    return _network


def _network(
    channels: int = 8,
    size: int = 8,
    classes: int = 4,
    normalize: bool = True,
    l2: float = 0.0,
    dropout: float = 0.0,
    stride: int = 1,
    synchronized: bool = False,
    name: str | None = None,
) -> keras.Model:
    layers = keras.layers
    penalty = keras.regularizers.L2(l2) if l2 else None
    image = keras.Input((size, size, 3))
    x = layers.Conv2D(
        channels,
        3,
        strides=stride,
        padding="same",
        kernel_regularizer=penalty,
        name="conv",
    )(image)
    if normalize:
        x = layers.BatchNormalization(
            momentum=0.9, synchronized=synchronized, name="norm"
        )(x)
    x = layers.ReLU(name="features")(x)
    if dropout:
        x = layers.Dropout(dropout, seed=3)(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    return keras.Model(image, layers.Dense(classes, name="head")(x), name=name)


@pytest.fixture
def paraphraser():
    """A paraphraser of rate 0.5 that counts as trained."""
    from keras_ft import Paraphraser

    layer = Paraphraser(rate=0.5)
    layer.trained = True
    return layer


@pytest.fixture
def batch():
    """24 small random images with labels of four classes."""
    rng = np.random.default_rng(0)
    images = rng.normal(size=(24, 8, 8, 3)).astype("float32")
    return images, rng.integers(0, 4, size=24).astype("int32")


@pytest.fixture(scope="session")
def distill_arguments(tmp_path_factory):
    """A complete `keras-ft distill` on tiny networks, less --run_dir."""
    folder = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(1)
    for name, channels in (("teacher", 12), ("student", 8)):
        image = keras.Input((28, 28, 1))
        x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
        x = keras.layers.ReLU(name="features")(x)
        x = keras.layers.Flatten()(x)
        tiny = keras.Model(image, keras.layers.Dense(10)(x), name=name)
        tiny.save(folder / f"{name}.keras")
    return [
        "distill",
        f"--teacher={folder / 'teacher.keras'}",
        f"--student={folder / 'student.keras'}",
        "--train_examples=256",
        "--batch_size=32",
        "--learning_rate=0.05",
        "--paraphrase_epochs=1",
        "--epochs=2",
        "--baselines=alone,kd",
        "--quantization=none,dynamic",
    ]


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, distill_arguments) -> Path:
    """The run folder of `distill_arguments`; tests must not change it."""
    from keras_ft.cli.main import main

    folder = tmp_path_factory.mktemp("runs") / "tiny run"
    assert main([*distill_arguments, f"--run_dir={folder}"]) == 0
    return folder


@pytest.fixture
def computed(monkeypatch) -> list[int]:
    """Rows of each batch that a teacher computes for a feature cache."""
    from keras_ft.feature_cache.request import Request

    rows: list[int] = []
    compute = Request.compute

    def counted(self, images, numbers):
        rows.append(len(numbers))
        return compute(self, images, numbers)

    monkeypatch.setattr(Request, "compute", counted)
    return rows
