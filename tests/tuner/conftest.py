"""A search of seconds: tiny networks on a few embedded images."""

import functools
import shutil

import keras
import keras_tuner
import pytest

import keras_ft

EPOCHS = 2


def network(channels: int) -> keras.Model:
    """A classifier of one convolution."""
    image = keras.Input((28, 28, 1))
    x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.Flatten()(x)
    return keras.Model(image, keras.layers.Dense(10)(x))


@pytest.fixture(scope="session")
def data(few_images):
    """60 training images in three batches."""
    return keras_ft.data.load(few_images, batch_size=20)


def new_teacher():
    """An untrained teacher; nothing here depends on how good it is."""
    keras.utils.set_random_seed(1)
    return network(12)


@pytest.fixture
def teacher():
    return new_teacher()


def new_hypermodel(teacher, data, cache, **changes):
    arguments = {
        "rates": (0.5, 1.0),
        "recipe": keras_ft.Recipe.preset("official").short(1, EPOCHS),
        "views": 1,
        "echo": None,
    }
    return keras_ft.tuner.FactorTransferHyperModel(
        teacher,
        changes.pop("student", lambda hp: network(8)),
        data,
        cache,
        **(arguments | changes),
    )


@pytest.fixture
def hypermodel(teacher, data, tmp_path):
    """Makes hypermodels that share a `cache_dir`."""
    return functools.partial(new_hypermodel, teacher, data, tmp_path / "cache")


@pytest.fixture(scope="session")
def searched(data, tmp_path_factory):
    """The `cache_dir` of a finished search for one rate; to be copied."""
    # As a test's: layers are numbered from the start.
    keras.utils.clear_session(free_memory=False)
    folder = tmp_path_factory.mktemp("searched")
    model = new_hypermodel(new_teacher(), data, folder / "cache", rates=(0.5,))
    keras_tuner.GridSearch(
        model,
        objective="val_accuracy",
        seed=1,
        directory=folder / "search",
        overwrite=True,
    ).search(verbose=0)
    return folder / "cache"


@pytest.fixture
def searched_before(searched, tmp_path):
    """The cache of `hypermodel` holds a finished search for rate 0.5."""
    return shutil.copytree(searched, tmp_path / "cache")


@pytest.fixture
def search_words(tmp_path, few_images):
    """`keras-ft tune` on the same networks, less --run_dir."""
    keras.utils.set_random_seed(1)
    words = ["tune", f"--dataset={few_images}", "--batch_size=20"]
    for name, channels in (("teacher", 12), ("student", 8)):
        path = tmp_path / f"{name}.keras"
        network(channels).save(path)
        words.append(f"--{name}={path}")
    return [
        *words,
        "--pixels=dataset",  # the teacher is not trained
        "--learning_rate=0.05",
        "--paraphrase_epochs=1",
        f"--epochs={EPOCHS}",
        "--views=1",
    ]


@pytest.fixture
def search(tmp_path):
    """Runs a tuner over a hypermodel to its end."""

    def run(kind, hypermodel, directory="search", epochs=None, **arguments):
        tuner = kind(
            hypermodel,
            **{"objective": "val_accuracy", "seed": 1} | arguments,
            directory=tmp_path / directory,
            overwrite=True,
        )
        tuner.search(verbose=0, **({"epochs": epochs} if epochs else {}))
        return tuner

    return run


@pytest.fixture
def fits(monkeypatch):
    """Counts the trainings of either phase."""
    counted = []
    original = keras.Model.fit

    def fit(self, *arguments, **more):
        counted.append(type(self).__name__)
        return original(self, *arguments, **more)

    monkeypatch.setattr(keras.Model, "fit", fit)
    return counted
