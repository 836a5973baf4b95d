"""Networks whose answers are right with one range of pixels only."""

import json

import keras
import numpy as np
import PIL.Image
import pytest

import keras_ft
from keras_ft import experiments
from keras_ft.cli import flags
from keras_ft.cli.main import main
from keras_ft.data.normalization import RANGES
from keras_ft.data.normalization import of_range
from keras_ft.errors import InputError
from keras_ft.experiments import datasets
from keras_ft.experiments import networks
from keras_ft.experiments import pixel_ranges

# Dark enough for every wrong range to confuse them.
BRIGHTNESS = {"black": 5, "dark": 25, "dusk": 45}
SIZE = 8


def save_images(folder, count):
    rng = np.random.default_rng(0)
    for name, value in BRIGHTNESS.items():
        (folder / name).mkdir(parents=True)
        for index in range(count):
            noise = rng.integers(-3, 4, (SIZE, SIZE, 3))
            image = PIL.Image.fromarray(np.uint8(value + noise))
            image.save(folder / name / f"{index}.png")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("images")
    for split, count in (("train", 16), ("validation", 4), ("test", 16)):
        save_images(path / split, count)
    return path


@pytest.fixture(scope="module")
def data(folder):
    return keras_ft.data.load(folder, batch_size=16, augment="none")


def knows(normalization, *before, size=SIZE, name=None):
    """Tells the brightness of images that are normalized like that.

    Args:
        normalization: What it takes pixels as.
        *before: Layers in front, which make that of its input.
    """
    image = keras.Input((size, size, 3))
    x = image
    for layer in before:
        x = layer(x)
    x = keras.layers.Conv2D(4, 1, kernel_initializer="zeros", name="conv")(x)
    features = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(features)
    network = keras.Model(
        image, keras.layers.Dense(3, name="head")(x), name=name
    )
    pixels = np.array([(value,) * 3 for value in BRIGHTNESS.values()])
    centers = normalization.apply(np.uint8(pixels)).mean(axis=-1)
    # ReLUs of the mean and of minus the mean carry it whatever its sign.
    kernel = np.zeros((1, 1, 3, 4), "float32")
    kernel[..., 0], kernel[..., 1] = 1 / 3, -1 / 3
    network.get_layer("conv").set_weights([kernel, np.zeros(4)])
    head = np.zeros((4, 3), "float32")
    head[0], head[1] = 2 * centers, -2 * centers
    sharp = 20 / np.diff(centers).min() ** 2
    network.get_layer("head").set_weights([sharp * head, -sharp * centers**2])
    return network


def of(name, data):
    return of_range(name, 3, data.normalization)


@pytest.mark.parametrize("name", RANGES)
def test_the_range_of_a_network_is_found(name, data):
    found = pixel_ranges.of_teacher(knows(of(name, data)), data)
    assert found.range == name
    assert found.normalization == of(name, data)
    assert [trial.range for trial in found.trials] == list(RANGES)
    right = {t.range: t.accuracy for t in found.trials}
    assert right[name] == 1.0
    assert sum(accuracy < 0.7 for accuracy in right.values()) == 4


def test_probabilities_are_as_good_as_logits(data):
    network = knows(of("-1..1", data))
    soft = keras.Model(network.input, keras.layers.Softmax()(network.output))
    (one, other) = (pixel_ranges.of_teacher(n, data) for n in (network, soft))
    assert soft.predict(np.zeros((1, SIZE, SIZE, 3)), verbose=0).sum() == 1
    assert one.range == other.range == "-1..1"
    for first, second in zip(one.trials, other.trials, strict=True):
        assert first.accuracy == second.accuracy
    assert one.trials[2].cross_entropy == pytest.approx(
        other.trials[2].cross_entropy, abs=1e-6
    )


def nested(layer):
    inner = keras.Input((SIZE, SIZE, 3))
    return keras.Model(inner, layer(inner))


class Arithmetic:
    """As `keras.applications`' `preprocess_input` writes it in a graph."""

    def __call__(self, x):
        return x / 127.5 - 1.0


SCALE = {"scale": 1 / 127.5, "offset": -1.0}
INSIDE = {
    "Rescaling": lambda: [keras.layers.Rescaling(**SCALE)],
    "behind augmentation": lambda: [
        keras.Sequential(
            [
                keras.layers.RandomFlip("horizontal"),
                keras.layers.RandomRotation(0.1),
            ]
        ),
        keras.layers.Resizing(SIZE, SIZE),
        keras.layers.Rescaling(**SCALE),
    ],
    "nested": lambda: [nested(keras.layers.Rescaling(**SCALE))],
    "Normalization": lambda: [
        keras.layers.Normalization(mean=[127.5] * 3, variance=[127.5**2] * 3)
    ],
    "arithmetic": lambda: [Arithmetic()],
}


@pytest.mark.parametrize("kind", INSIDE)
def test_a_network_that_rescales_inside_takes_raw_pixels(kind, data):
    network = knows(of("-1..1", data), *INSIDE[kind]())
    assert pixel_ranges.rescales_inside(network)
    found = pixel_ranges.of_teacher(network, data)
    assert found.range == "raw"
    (trial,) = found.trials
    assert trial.accuracy == 1.0


def test_scaling_behind_weights_is_none(data):
    network = knows(of("0..1", data), keras.layers.Conv2D(3, 1, name="first"))
    later = keras.layers.Rescaling(2.0)(network.get_layer("first").output)
    assert not pixel_ranges.rescales_inside(network)
    assert not pixel_ranges.rescales_inside(keras.Model(network.input, later))


def test_statistics_inside_of_pixels_scaled_outside(data):
    """`Normalization.adapt` saw 0..1: its layer must not decide alone."""
    mean, std = (
        np.array(v) for v in (data.normalization.mean, data.normalization.std)
    )
    layer = keras.layers.Normalization(mean=mean, variance=std**2)
    found = pixel_ranges.of_teacher(knows(data.normalization, layer), data)
    assert found.range == "0..1"


def test_a_teacher_at_chance_is_refused_with_what_was_tried(data):
    network = knows(of("raw", data))
    network.get_layer("head").set_weights([np.zeros((4, 3)), np.eye(3)[0]])
    with pytest.raises(InputError) as caught:
        pixel_ranges.of_teacher(network, data)
    text = str(caught.value)
    for name in RANGES:
        assert f"{name} 33.3%" in text
    assert "black, dark, dusk" in text
    assert pixel_ranges.of_teacher(network, data, "raw").trials == ()


def test_what_was_recorded_is_not_tried(data):
    recorded = of("imagenet", data)
    found = pixel_ranges.of_teacher(
        knows(of("raw", data)), data, None, recorded
    )
    assert (found.normalization, found.trials) == (recorded, ())


def test_imagenet_is_for_color(network):
    gray = keras_ft.data.load("fashion_mini", train_examples=64)
    with pytest.raises(InputError, match="1 channel"):
        pixel_ranges.of_teacher(network(), gray, "imagenet")


@pytest.mark.parametrize(
    ("teacher", "student", "found"),
    [
        ("raw", None, "dataset"),  # A new one wants small numbers.
        ("0..1", None, "0..1"),
        ("0..1", "-1..1", "-1..1"),  # One that knows the classes already.
        ("imagenet", "inside", "raw"),
    ],
)
def test_the_students_range(teacher, student, found, data):
    of_teacher = pixel_ranges.of_teacher(
        knows(of(teacher, data)), data, teacher
    )
    if student is None:
        # As it would be, had it not been trained.
        network = knows(of("raw", data))
        network.get_layer("head").set_weights([np.zeros((4, 3)), np.zeros(3)])
    elif student == "inside":
        network = knows(of("-1..1", data), keras.layers.Rescaling(**SCALE))
    else:
        network = knows(of(student, data))
    range_ = pixel_ranges.of_student(network, data, of_teacher)
    assert range_.range == found
    assert range_.normalization == of(found, data)


@pytest.mark.parametrize("name", RANGES)
def test_a_converted_network_answers_as_before(name, data):
    network = knows(of("imagenet", data), keras.layers.ReLU(name="first"))
    converted = networks.converted(
        network, of(name, data), of("imagenet", data), data.input_shape
    )
    pixels, _ = data.examples("test", 20)
    given = of(name, data).apply(pixels)
    wanted = network.predict(of("imagenet", data).apply(pixels), verbose=0)
    np.testing.assert_allclose(
        converted.predict(given, verbose=0), wanted, rtol=1e-3, atol=1e-3
    )
    # Taps keep their names, and nothing is copied.
    assert converted.get_layer("features") is network.get_layer("features")
    assert (converted is network) == (name == "imagenet")


@pytest.mark.parametrize("as_sequential", [False, True])
def test_a_network_for_smaller_images_resizes_them(as_sequential, data):
    network = knows(of("raw", data), size=4)
    if as_sequential:
        network = keras.Sequential(
            [keras.Input((4, 4, 3)), *network.layers[1:]]
        )
    found = networks.fitted(network, data, "student")
    assert found.input_shape == (None, SIZE, SIZE, 3)
    pixels, labels = data.examples("test", 20)
    answers = found.predict(pixels.astype("float32"), verbose=0)
    np.testing.assert_array_equal(answers.argmax(axis=-1), labels)
    with pytest.raises(InputError, match=r"\(16, 16, 3\)"):
        networks.fitted(knows(of("raw", data), size=16), data, "student")


@pytest.mark.parametrize(
    ("teacher", "student", "asked", "size"),
    [
        (8, None, None, 8),
        (8, 16, None, 16),
        (16, 8, None, 16),
        (None, 12, None, 12),
        (8, 8, 16, 16),
    ],
)
def test_the_size_is_the_larger_one_that_the_networks_fix(
    teacher, student, asked, size, tmp_path
):
    # Images that differ in size, as photos do.
    for index in range(60):
        for name, value in BRIGHTNESS.items():
            (tmp_path / "images" / name).mkdir(parents=True, exist_ok=True)
            pixels = np.full((6 + index % 9, 7 + index % 5, 3), value, np.uint8)
            image = PIL.Image.fromarray(pixels)
            image.save(tmp_path / "images" / name / f"{index}.png")
    raw = of_range("raw", 3, None)
    names = {"student": "resnet8"}
    for who, its in (("teacher", teacher), ("student", student)):
        if who == "teacher" or its is not None:
            path = tmp_path / f"{who}.keras"
            names[who] = saved(knows(raw, size=its), path)
    settings = experiments.Settings(
        recipe=keras_ft.Recipe.preset("official"),
        dataset=str(tmp_path / "images"),
        image_size=asked,
        **names,
    )
    load = datasets.Loader(settings)
    data = load(16)
    assert data.input_shape == (size, size, 3)
    network = load.teacher(data)
    for images, labels in data.test:
        answers = network.predict(images, verbose=0).argmax(axis=-1)
        np.testing.assert_array_equal(answers, labels)


WORDS = [
    "distill",
    "--method=kd",
    "--batch_size=16",
    "--learning_rate=0.01",
    "--epochs=1",
    "--augment=none",
]


def saved(network, path):
    network.save(path)
    return str(path)


def test_networks_that_take_different_pixels(folder, data, tmp_path, capsys):
    """A teacher of raw pixels, a student of 0..1, both trained already."""
    teacher = knows(of("-1..1", data), keras.layers.Rescaling(**SCALE))
    student = knows(of("0..1", data), size=SIZE // 2)
    words = [
        *WORDS,
        f"--dataset={folder}",
        f"--teacher={saved(teacher, tmp_path / 'teacher.keras')}",
        f"--student={saved(student, tmp_path / 'student.keras')}",
        f"--run_dir={tmp_path / 'run'}",
    ]
    assert main(words) == 0
    out = capsys.readouterr().out
    assert "teacher: takes pixels raw, which it rescales itself" in out
    assert "student: takes pixels 0..1, the best of 5 on 48" in out
    assert "teacher: 100.00% of 48 test images right" in out
    content = json.loads((tmp_path / "run" / "run.json").read_text())
    ranges = content["notes"]["pixels"]
    assert ranges["teacher"]["range"] == "raw"
    assert ranges["student"]["range"] == "0..1"
    assert [t["range"] for t in ranges["student"]["tried"]] == list(RANGES)
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert metrics["tflite_accuracy"] == 1.0
    # The file takes pixels as they are.
    pixels, labels = data.examples("test", 20)
    answers = keras_ft.export.run_in_litert(
        tmp_path / "run" / "student.tflite", pixels.astype("float32")
    )
    np.testing.assert_array_equal(np.argmax(answers, axis=-1), labels)
    # Its networks take what the run says, which need not be tried.
    for name in ("teacher", "student"):
        path = str(tmp_path / "run" / f"{name}.keras")
        recorded = networks.recorded_normalization(path)
        assert recorded == of("0..1", data)
    assert networks.recorded_normalization(words[-2][10:]) is None
    # Continued, with no teacher to ask any more.
    (tmp_path / "teacher.keras").unlink()
    assert main(words) == 0
    assert "done before" in capsys.readouterr().out


@pytest.mark.long
# keras-tuner's own.
@pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:getName:DeprecationWarning")
def test_a_comparison_and_a_search_find_the_range_too(folder, data, tmp_path):
    teacher = knows(of("-1..1", data), keras.layers.Rescaling(**SCALE))
    recipe = keras_ft.Recipe.preset("official").short(1, 1)
    settings = {
        "recipe": recipe.scheduled(batch_size=16, learning_rate=1e-6),
        "dataset": str(folder),
        "augment": "none",
        "teacher": saved(teacher, tmp_path / "teacher.keras"),
        "student": saved(knows(of("0..1", data)), tmp_path / "student.keras"),
    }
    found = keras_ft.compare(
        tmp_path / "compared",
        methods=["none"],
        seeds=1,
        export=False,
        **settings,
    )
    assert found.trainings[0].accuracy == 1.0
    content = json.loads((tmp_path / "compared" / "run.json").read_text())
    assert content["phases"]["teacher"]["result"]["accuracy"] == 1.0
    lines = []
    keras_ft.tuner.tune(
        tmp_path / "tuned",
        keras_ft.tuner.SearchSettings(
            method="kd", rates=None, kd_weights=(0.5,), views=1, **settings
        ),
        echo=lines.append,
    )
    assert any("teacher: takes pixels raw" in line for line in lines)
    network = networks.load(tmp_path / "tuned" / "student.keras")
    pixels, labels = data.examples("test", 20)
    answers = network.predict(of("0..1", data).apply(pixels), verbose=0)
    assert np.mean(answers.argmax(axis=-1) == labels) == 1.0


def test_a_file_that_is_no_part_of_a_run_is_given_its_pixels(
    folder, data, tmp_path
):
    inside = knows(of("-1..1", data), keras.layers.Rescaling(**SCALE))
    path, result = experiments.export_file(
        saved(inside, tmp_path / "student.keras"), None, str(folder), "none"
    )
    assert result["accuracy"] == result["agreement"] == 1.0
    content = experiments.benchmark_files(
        [path],
        saved(knows(of("-1..1", data)), tmp_path / "another.keras"),
        str(folder),
        threads=[1],
        runs=2,
    )
    assert content["keras_accuracy"] == 1.0


def test_a_teacher_at_chance_stops_a_run(folder, network, tmp_path, capsys):
    path = saved(network(classes=3), tmp_path / "teacher.keras")
    words = [*WORDS, f"--dataset={folder}", f"--teacher={path}"]
    words.append(f"--run_dir={tmp_path / 'run'}")
    assert main(words) == 2
    assert "hardly better than chance" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_the_words_of_the_flag_are_those_of_the_settings():
    assert flags.PIXELS == RANGES
    settings = {
        "recipe": keras_ft.Recipe.preset("official"),
        "teacher": "fashion_mini",
    }
    for kind in (experiments.Settings, keras_ft.tuner.SearchSettings):
        with pytest.raises(InputError, match="pixels"):
            kind(**settings, pixels="0..255")
        # Earlier folders go on.
        assert "pixels" not in kind(**settings).configuration()
        known = kind(**settings, pixels="raw").configuration()
        assert known["pixels"] == "raw"
