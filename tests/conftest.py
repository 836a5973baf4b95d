"""What every test finds set up: two logical CPUs, seeds, shared folders."""

import gc
import os
import shutil

# Before TensorFlow and matplotlib are first imported: both read these once.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import keras
import numpy as np
import pytest

pytest_plugins = ["no_skips", "what_works_where"]

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

# The files that take longest, the longest first, by name: they are started
# first, so that the processes of pytest-xdist end at about the same time.
SLOWEST_FIRST = (
    "test_environments.py",
    "test_search.py",
    "test_comparing.py",
    "test_kills.py",
    "test_recovery.py",
    "test_strategies.py",
    "test_equality.py",
    "test_fairness.py",
    "test_commands.py",
    "test_tune.py",
    "test_compression.py",
    "test_training.py",
    "test_backends.py",
    "test_reuse.py",
    "test_examples.py",
    "test_tfmot.py",
    "test_dense.py",
    "test_readme.py",
    "test_data.py",
    "test_docstring_examples.py",
    "test_growing.py",
    "test_data_parallel.py",
    "test_students.py",
    "test_distill.py",
    "test_cached_training.py",
)


def pytest_configure(config: pytest.Config) -> None:
    # Otherwise pytest-xdist starts the files with the most tests first. The
    # option is missing where there is no pytest-xdist, as on JAX.
    if hasattr(config.option, "loadscopereorder"):
        config.option.loadscopereorder = False


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rank = {name: number for number, name in enumerate(SLOWEST_FIRST)}
    # The sort is stable: the tests of a file stay together and in order.
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


def pytest_collection_finish() -> None:
    # Modules stay. What looks for garbage, as keras-tuner does before each
    # trial, need not look through all of TensorFlow: that takes 0.3 s.
    gc.collect()
    gc.freeze()
    # A trace makes more than 700 objects many times over.
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(autouse=True)
def _fresh_start():
    """The same seeds, layer names and precision for every test."""
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(0)
    yield
    # Afterwards: the session's fixtures are made before this one begins.
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


class _Counted(keras.layers.Layer):
    """Notes how many images every forward pass brings.

    The notes are kept outside of it: without state it can be folded, and a
    copy of it notes in the same list.
    """

    notes: dict[str, list[int]] = {}

    def __init__(self, key: str, **kwargs):
        super().__init__(**kwargs)
        self.key = key

    def call(self, x):
        import tensorflow as tf

        images = tf.shape(x)[0]
        noted = tf.py_function(self._note, [images], [])
        with tf.control_dependencies([noted]):
            return tf.identity(x)

    def _note(self, images):
        # Replicas note at the same time; appending to a list is atomic.
        self.notes[self.key].append(int(images))

    def get_config(self):
        return {**super().get_config(), "key": self.key}


@pytest.fixture
def counted(network):
    """A `network` and the list of its forward passes: images in each.

    On TensorFlow alone. The list begins anew with each `fit`, `evaluate` and
    `predict` that gets `counted.anew`, a callback.
    """

    def build(key: str, *args, **kwargs):
        inner = network(*args, **kwargs)
        image = keras.Input(inner.input_shape[1:])
        x = _Counted(key)(image)
        for layer in inner.layers[1:]:
            x = layer(x)
        _Counted.notes[key] = notes = []
        return keras.Model(image, x), notes

    def forget(logs):
        # What was noted when models were built, checked and folded.
        for notes in _Counted.notes.values():
            notes.clear()

    build.anew = keras.callbacks.LambdaCallback(on_train_begin=forget)
    build.anew.on_test_begin = build.anew.on_predict_begin = forget
    return build


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
def made_once(tmp_path_factory):
    """Makes a folder once for all processes of pytest-xdist."""
    from filelock import FileLock

    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def get(name, make) -> Path:
        made, done = folder / name, folder / f"{name}.done"
        with FileLock(folder / f"{name}.lock"):
            if not done.exists():
                shutil.rmtree(made, ignore_errors=True)
                made.mkdir()
                make(made)
                done.touch()
        return made

    return get


@pytest.fixture(scope="session")
def few_images(made_once) -> Path:
    """A folder of 140 embedded images: 60 to train, 20 and 60 to score."""
    return made_once("few images", _save_few_images)


def _save_few_images(folder: Path) -> None:
    import PIL.Image

    from keras_ft import data

    images, labels = data.load("fashion_mini").examples("test", 2000)
    splits = {
        "train": slice(6),
        "validation": slice(6, 8),
        "test": slice(8, 14),
    }
    for split, which in splits.items():
        for label in range(10):
            place = folder / split / str(label)
            place.mkdir(parents=True)
            for number, image in enumerate(images[labels == label][which]):
                picture = PIL.Image.fromarray(np.uint8(image[..., 0]))
                picture.save(place / f"{number}.png")


@pytest.fixture(scope="session")
def photos(tmp_path_factory):
    """A folder of 60 small images, three classes, and a teacher for them.

    The embedded images are many: every training scores 2,000 of them.
    """
    import PIL.Image

    folder = tmp_path_factory.mktemp("photos")
    rng = np.random.default_rng(0)
    for name in ("ape", "bee", "cow"):
        (folder / "images" / name).mkdir(parents=True)
        for index in range(20):
            pixels = rng.integers(0, 256, (28, 28, 3)).astype("uint8")
            file = folder / "images" / name / f"{index}.png"
            PIL.Image.fromarray(pixels).save(file)
    keras.utils.set_random_seed(2)
    image = keras.Input((28, 28, 3))
    x = keras.layers.Conv2D(12, 5, strides=4, padding="same")(image)
    x = keras.layers.BatchNormalization()(x)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, keras.layers.Dense(3)(x), name="teacher")
    teacher.save(folder / "teacher.keras")
    return folder / "images", folder / "teacher.keras"


@pytest.fixture(scope="session")
def distill_arguments(made_once):
    """A complete `keras-ft distill` on tiny networks, less --run_dir."""
    folder = made_once("networks", _save_tiny_networks)
    return [
        "distill",
        f"--teacher={folder / 'teacher.keras'}",
        f"--student={folder / 'student.keras'}",
        # The teacher is not trained; without this the run refuses it.
        "--pixels=dataset",
        "--train_examples=256",
        "--batch_size=32",
        "--learning_rate=0.05",
        "--paraphrase_epochs=1",
        "--epochs=2",
        "--baselines=alone,kd",
        "--quantization=none,dynamic",
    ]


def _save_tiny_networks(folder: Path) -> None:
    keras.utils.set_random_seed(1)
    for name, channels in (("teacher", 12), ("student", 8)):
        image = keras.Input((28, 28, 1))
        x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
        x = keras.layers.ReLU(name="features")(x)
        x = keras.layers.Flatten()(x)
        tiny = keras.Model(image, keras.layers.Dense(10)(x), name=name)
        tiny.save(folder / f"{name}.keras")


@pytest.fixture(scope="session")
def finished_run(tmp_path_factory, made_once, distill_arguments) -> Path:
    """The run folder of `distill_arguments`; tests must not change it."""
    from keras_ft.cli.main import main

    def make(folder: Path) -> None:
        assert main([*distill_arguments, f"--run_dir={folder}"]) == 0

    made = made_once("tiny run", make)
    # A copy for each process: two must not have a run open at a time.
    return shutil.copytree(made, tmp_path_factory.mktemp("runs") / "tiny run")


@pytest.fixture(scope="session")
def toy(distill_arguments, few_images):
    """Settings of `keras_ft.compare` for tiny networks and few images."""
    from keras_ft import Recipe

    words = dict(word[2:].split("=") for word in distill_arguments[1:3])
    return {
        "recipe": Recipe.preset("official").scheduled(
            paraphrase_epochs=1, epochs=1
        ),
        "teacher": words["teacher"],
        "student": words["student"],
        "pixels": "dataset",
        "dataset": str(few_images),
        "methods": ["none", "kd", "ft+at"],
        "seeds": 2,
        "export": False,
    }


@pytest.fixture(scope="session")
def finished(tmp_path_factory, made_once, toy):
    """A comparison of `toy`; tests must not change its folder."""
    import keras_ft

    made = made_once(
        "tiny comparison", lambda folder: keras_ft.compare(folder, **toy)
    )
    folder = tmp_path_factory.mktemp("comparisons") / "whole"
    # A copy, as of the finished run; all in it is done, and is only read.
    return keras_ft.compare(shutil.copytree(made, folder), **toy)


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
