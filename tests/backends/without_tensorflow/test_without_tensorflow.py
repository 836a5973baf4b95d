"""What works and what is refused on JAX when there is no TensorFlow."""

import importlib.util
import sys

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.cli import main as cli


def test_there_is_no_tensorflow():
    assert keras.backend.backend() == "jax"
    for name in ("tensorflow", "tf_keras", "ai_edge_litert"):
        assert importlib.util.find_spec(name) is None


def test_every_public_name_imports():
    for name in {*keras_ft.__all__} - {"compare", "distill", "tuner"}:
        assert getattr(keras_ft, name) is not None
    assert "tensorflow" not in sys.modules


@pytest.mark.parametrize(
    ("call", "instead"),
    [
        (lambda: keras_ft.data.load("fashion_mini"), "keras_ft.data.arrays"),
        (lambda: keras_ft.compare, "Call fit"),
        (lambda: keras_ft.tuner, "Call fit"),
        (
            lambda: keras_ft.export.to_tflite(None, "student.tflite"),
            "export it where TensorFlow is",
        ),
    ],
)
def test_what_needs_tensorflow_says_what_to_do(call, instead):
    with pytest.raises(keras_ft.InputError) as caught:
        call()
    message = str(caught.value)
    assert instead in message and "pip install tensorflow" in message


@pytest.mark.parametrize("command", cli.COMMANDS)
def test_the_command_line_says_so_in_one_line(command, capsys):
    assert cli.main([command]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert f"keras-ft {command}" in line
    assert "pip install tensorflow" in line


def test_help_and_version_need_nothing(capsys):
    assert cli.main(["distill", "--help"]) == 0
    assert cli.main(["--version"]) == 0
    assert keras_ft.__version__ in capsys.readouterr().out


@pytest.mark.long
def test_the_embedded_images_train_the_shipped_teachers_student():
    data = keras_ft.data.arrays("fashion_mini", train_examples=64)
    teacher = keras_ft.zoo.pretrained("fashion_mini")
    logits = teacher.predict(data.test[0][:500], verbose=0)
    # 92.3 % of all 2,000 on TensorFlow.
    assert np.mean(logits.argmax(1) == data.test[1][:500]) > 0.88
    recipe = keras_ft.Recipe.preset("official").short(1, 1)
    paraphraser = recipe.paraphraser()
    phase1 = recipe.paraphraser_trainer(teacher, paraphraser)
    phase1.compile(recipe.paraphrase.optimizer(steps_per_epoch=2))
    phase1.fit(data.train[0], batch_size=32, verbose=0)
    student = keras_ft.zoo.resnet8(data.classes, data.input_shape)
    model = recipe.distiller(teacher, student, paraphraser)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(recipe.distill.optimizer(2), loss, metrics=["accuracy"])
    logs = model.fit(*data.train, batch_size=32, verbose=0).history
    assert np.isfinite(logs["loss"]).all() and logs["factor_loss"][0] > 0
