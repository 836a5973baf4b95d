"""Every example in a public docstring runs, and says what comes out.

An example finds under the names it uses, and in its folder, small real
things: the fixtures below. Everything else it has to make or import itself.
Output that depends on the machine or on a training is written as `...`.
"""

import ast
import doctest
import inspect
import re
import shutil

import keras
import numpy as np
import public_names
import pytest

import keras_ft

DOCUMENTED = public_names.documented()
# Public, and yet without an example.
NO_EXAMPLE = {"Tap": "the example of `taps` prints some"}
# They take more than about ten seconds.
SLOW = {
    "keras_ft.compare",
    "keras_ft.compression.compress",
    "keras_ft.tuner.FactorTransferHyperModel",
    "keras_ft.tuner.tune",
}

pytestmark = [
    # keras-tuner's own.
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
MODULES = {"keras": keras, "keras_ft": keras_ft, "np": np}
# What examples may use by these names: the fixtures below.
OBJECTS = (
    "comparison",
    "data",
    "hypermodel",
    "images",
    "labels",
    "loss",
    "model",
    "paraphraser",
    "strategy",
    "student",
    "teacher",
)
# What examples may open, and the fixture that names its folder.
FILES = {
    "teacher.keras": "networks",
    "student.keras": "networks",
    "student.tflite": "exported",
    "resnet20_cifar10.npz": "torch_arrays",
}


def _examples():
    for name, value in DOCUMENTED.items():
        yield name, value
        for member, function in public_names.members(value).items():
            yield f"{name}.{member}", function


EXAMPLES = {
    name: inspect.getdoc(value)
    for name, value in _examples()
    if ">>> " in (inspect.getdoc(value) or "")
}


@pytest.mark.parametrize("name", sorted(DOCUMENTED))
def test_every_public_name_has_an_example(name):
    text = inspect.getdoc(DOCUMENTED[name]) or ""
    has_one = "Example:" in text and ">>> " in text
    assert has_one == (name not in NO_EXAMPLE)


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.long] if name in SLOW else [])
        for name in EXAMPLES
    ],
)
def test_the_example_runs(name, request, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    parsed = doctest.DocTestParser().get_doctest(
        EXAMPLES[name], {}, name, None, None
    )
    assert not any(e.options.get(doctest.SKIP) for e in parsed.examples)
    tree = ast.parse("".join(example.source for example in parsed.examples))
    parsed.globs |= MODULES | _objects(tree, request)
    if "." not in name:  # there is no shorter name for it
        parsed.globs[name] = DOCUMENTED[name]
    _put_files(tree, request, tmp_path)
    assert _wrong_in(parsed) == ""


@pytest.mark.parametrize(
    ("wanted", "is_right"),
    [
        ("Traceback (most recent call last):\nKeyError: 'a'", True),
        ("Traceback (most recent call last):\nany.module.KeyError: ...", True),
        ("Traceback (most recent call last):\nIndexError: 'a'", False),
        ("Traceback (most recent call last):\nKeyError: 'b'", False),
        ("{'b': ...}", False),
        ("", False),
    ],
)
def test_a_wrong_example_is_found(wanted, is_right):
    parsed = doctest.DocTestParser().get_doctest(
        f">>> {{'b': 1}}['a']\n{wanted}\n", {}, "wrong", None, None
    )
    assert (_wrong_in(parsed) == "") == is_right


def _wrong_in(parsed):
    """What the lines of an example do that they should not."""
    runner = doctest.DocTestRunner(_Checker(), verbose=False, optionflags=FLAGS)
    told = []
    runner.run(parsed, out=told.append)
    return "".join(told)


class _Checker(doctest.OutputChecker):
    """Takes an error's name without the module that defines it."""

    def check_output(self, want, got, optionflags):
        want, got = (
            re.sub(r"\A\w+(?:\.\w+)*\.(?=\w+Error: )", "", text)
            for text in (want, got)
        )
        return super().check_output(want, got, optionflags)


def _objects(tree, request):
    """The things that an example uses before it binds their names."""
    first = {}
    names = [node for node in ast.walk(tree) if isinstance(node, ast.Name)]
    for node in sorted(names, key=lambda node: (node.lineno, node.col_offset)):
        first.setdefault(node.id, isinstance(node.ctx, ast.Load))
    return {
        name: request.getfixturevalue(name)
        for name in OBJECTS
        if first.get(name)
    }


def _put_files(tree, request, folder):
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and node.value in FILES:
            made = request.getfixturevalue(FILES[node.value])
            shutil.copyfile(made / node.value, folder / node.value)


@pytest.fixture(autouse=True)
def _no_progress_bars():
    # Keras' bars would be part of the output; they go to the log instead.
    shown = keras.config.is_interactive_logging_enabled()
    keras.config.disable_interactive_logging()
    yield
    if shown:
        keras.config.enable_interactive_logging()


def _network(name: str) -> keras.Model:
    """A classifier of the embedded images: a stem, three stages and a head."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    image = keras.Input((28, 28, 1))
    x = image
    for layer, channels, strides in (
        ("stem", 8, 2),
        ("stage1", 8 if name == "student" else 16, 1),
        ("stage2", 16, 2),
        ("stage3", 64, 1),
    ):
        x = layers.Conv2D(channels, 3, strides, padding="same")(x)
        x = layers.ReLU(name=layer)(x)
    x = layers.GlobalAveragePooling2D(name="pool")(x)
    # Spread logits, as a trained network has; untrained ones nearly tie.
    spread = keras.initializers.RandomNormal(stddev=4.0)
    x = layers.Dense(10, kernel_initializer=spread, name="head")(x)
    model = keras.Model(image, x, name=name)
    model.compile("adam", _loss(), metrics=["accuracy"])
    return model


def _loss() -> keras.losses.Loss:
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


@pytest.fixture
def teacher():
    return _network("teacher")


@pytest.fixture
def student():
    return _network("student")


@pytest.fixture
def loss():
    return _loss()


@pytest.fixture
def model(teacher, student, paraphraser):
    model = keras_ft.FactorTransfer(teacher, student, paraphraser)
    model.compile("sgd", _loss(), metrics=["accuracy"])
    return model


@pytest.fixture(scope="module")
def data():
    """256 training images in two batches."""
    return keras_ft.data.load(
        "fashion_mini", train_examples=256, drop_remainder=True
    )


@pytest.fixture(scope="module")
def some_images(data):
    pixels, labels = data.examples("train", 32)
    return data.normalization.apply(pixels), labels


@pytest.fixture
def images(some_images):
    return some_images[0].copy()


@pytest.fixture
def labels(some_images):
    return some_images[1].copy()


@pytest.fixture
def recipe():
    """One epoch of each phase."""
    return keras_ft.Recipe.preset("official").short(1, 1)


@pytest.fixture
def strategy():
    """A cluster of one worker."""
    return keras_ft.multi_worker.strategy()


@pytest.fixture
def comparison(tmp_path):
    """Three seeds; KD is better than plain training, FT may be."""
    better = {
        "none": (0.0, 0.0, 0.0),
        "kd": (0.007, 0.009, 0.011),
        "ft": (0.004, -0.005, 0.013),
    }
    trainings = [
        DOCUMENTED["TrainingResult"](
            method=method,
            seed=seed,
            folder=f"{method}-seed{seed}",
            accuracy=round(0.89 + 0.01 * seed + gain, 3),
        )
        for method, gains in better.items()
        for seed, gain in enumerate(gains)
    ]
    return DOCUMENTED["Comparison"](tmp_path, tuple(trainings), {})


@pytest.fixture
def hypermodel(teacher, data, recipe):
    return keras_ft.tuner.FactorTransferHyperModel(
        teacher, "resnet8", data, "cache", recipe=recipe, echo=None
    )


@pytest.fixture(scope="module")
def networks(tmp_path_factory, data):
    """The teacher, which knows the classes, and the student, as files."""
    folder = tmp_path_factory.mktemp("networks")
    teacher = _network("teacher")
    images, labels = data.examples("train", 256)
    pooled = keras.Model(teacher.input, teacher.get_layer("pool").output)
    features = pooled.predict(data.normalization.apply(images), verbose=0)
    features = np.column_stack([features, np.ones(len(features))])
    fitted = np.linalg.lstsq(features, 8.0 * np.eye(10)[labels])[0]
    teacher.get_layer("head").set_weights([fitted[:-1], fitted[-1]])
    teacher.save(folder / "teacher.keras")
    _network("student").save(folder / "student.keras")
    return folder


@pytest.fixture(scope="module")
def exported(tmp_path_factory, data):
    """The student's file for the phone."""
    folder = tmp_path_factory.mktemp("exported")
    keras_ft.export.to_tflite(
        _network("student"),
        folder / "student.tflite",
        normalization=data.normalization,
        samples=data.examples("test", 32)[0],
    )
    return folder


@pytest.fixture(scope="module")
def torch_arrays(tmp_path_factory):
    """A ResNet-20 as PyTorch users save one."""
    folder = tmp_path_factory.mktemp("torch")
    random = np.random.default_rng(0)
    arrays = {"conv1.weight": random.normal(size=(16, 3, 3, 3))}

    def add(name, *shape):
        arrays[f"{name}.weight"] = random.normal(0.0, 0.1, shape)

    def add_norm(name, width):
        for part in ("weight", "bias", "running_mean", "running_var"):
            arrays[f"{name}.{part}"] = random.uniform(0.5, 1.5, width)

    add_norm("bn1", 16)
    before = 16
    for layer, width in enumerate((16, 32, 64), start=1):
        for block in range(3):
            for number in (1, 2):
                name = f"layer{layer}.{block}"
                add(f"{name}.conv{number}", width, before, 3, 3)
                add_norm(f"{name}.bn{number}", width)
                before = width
    add("linear", 10, 64)
    arrays["linear.bias"] = random.normal(size=10)
    np.savez(folder / "resnet20_cifar10.npz", **arrays)
    return folder
