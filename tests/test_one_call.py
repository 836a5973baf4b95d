import json

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.errors import InputError


@pytest.fixture(scope="module")
def colors():
    """Images of three colors, and the index of the color as label."""
    rng = np.random.default_rng(0)
    labels = np.arange(720) % 3
    images = rng.integers(0, 60, (720, 8, 8, 3))
    images[np.arange(720), :, :, labels] += 190
    return images.astype(np.uint8), labels


def save_network(path, brightness):
    """Knows the colors of raw pixels; its own layer scales them."""
    image = keras.Input((8, 8, 3))
    x = keras.layers.Rescaling(1 / 127.5, offset=-1.0)(image)
    x = keras.layers.Conv2D(3, 1, name="conv")(x)
    x = keras.layers.ReLU(name="features")(x)
    x = keras.layers.GlobalAveragePooling2D()(x)
    network = keras.Model(image, keras.layers.Dense(3, name="head")(x))
    network.get_layer("conv").set_weights(
        [np.eye(3).reshape(1, 1, 3, 3), np.full(3, brightness)]
    )
    network.get_layer("head").set_weights([8 * np.eye(3), np.zeros(3)])
    network.save(path)
    return str(path)


@pytest.mark.slow
def test_arrays_in_and_a_folder_for_the_phone_out(colors, tmp_path, capsys):
    call = {
        "images": colors,
        "teacher": save_network(tmp_path / "teacher.keras", 1.0),
        "student": save_network(tmp_path / "student.keras", 0.5),
        "run_dir": tmp_path / "run",
        "method": "kd",
        "epochs": 1,
        "batch_size": 64,
        "learning_rate": 1e-3,
        "augment": "none",
    }
    result = keras_ft.distill(**call)
    out = capsys.readouterr().out
    assert "teacher: takes pixels raw" in out
    assert "teacher: 100.00%" in out
    assert result.metrics["kd_accuracy"] == 1.0
    assert result.metrics["tflite_accuracy"] == 1.0
    assert result.report.read_text(encoding="utf-8").startswith("<!")
    student = keras.models.load_model(result.student, compile=False)
    images, labels = colors
    for answers in (
        student.predict(images.astype("float32"), verbose=0),
        keras_ft.export.run_in_litert(
            result.tflite, images[:30].astype("float32")
        ),
    ):
        right = np.argmax(answers, axis=-1) == labels[: len(answers)]
        assert right.all()
    card = json.loads((result.bundle / "model_card.json").read_text("utf-8"))
    assert card
    # Again: it is all there.
    again = keras_ft.distill(**call)
    assert "kd: done before" in capsys.readouterr().out
    assert again.student == result.student
    other = (colors[0][::-1].copy(), colors[1])
    with pytest.raises(InputError, match="another run_dir"):
        keras_ft.distill(**call | {"images": other})


@pytest.mark.parametrize(
    "images",
    [
        7,
        np.zeros((4, 8, 8, 3)),
        (np.zeros((4, 8, 8, 3)), np.zeros(4, int)),  # scaled already
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(4)),
        (np.zeros((4, 8, 8, 3), np.uint8), np.zeros(3, int)),
        (np.zeros((4, 8, 8, 2), np.uint8), np.zeros(4, int)),
        (np.zeros((4, 8, 8, 3), np.uint8), np.full(4, -1)),
    ],
)
def test_what_is_no_set_of_images_is_refused(images, tmp_path):
    with pytest.raises(InputError, match="`images`"):
        keras_ft.distill(
            images, teacher="fashion_mini", student="resnet8", run_dir=tmp_path
        )
    assert not list(tmp_path.iterdir())


def test_names_are_checked_first(colors, tmp_path):
    with pytest.raises(InputError, match="Did you mean resnet20"):
        keras_ft.distill(
            colors,
            teacher="fashion_mini",
            student="resnt20",
            run_dir=tmp_path / "run",
        )
    assert not (tmp_path / "run").exists()
