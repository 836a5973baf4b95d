"""The flags that say how images are read."""

import pytest
from absl import flags as absl_flags

from keras_ft import experiments
from keras_ft.cli import compare
from keras_ft.cli import distill
from keras_ft.cli import flags
from keras_ft.cli import train_teacher
from keras_ft.cli import tune
from keras_ft.data.load_settings import resolve_image_size
from keras_ft.errors import InputError
from keras_ft.experiments.settings import optional_of_load
from keras_ft.recipes import Recipe
from keras_ft.tuner import SearchSettings

COMMANDS = [train_teacher, distill, compare, tune]


def parsed(command, *words):
    values = absl_flags.FlagValues()
    command.define(values)
    values(["", *words])
    return values


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize(
    ("word", "size"), [("96,128", (96, 128)), ("96", (96, 96))]
)
def test_one_size_for_all_images(command, word, size):
    values = parsed(command, f"--image_size={word}")
    assert flags.image_size(values) == size
    assert flags.image_size(parsed(command)) is None


@pytest.mark.parametrize("word", ["0", "96x128", "96,128,3", "-4", ","])
def test_what_is_no_size_is_refused(word):
    with pytest.raises(InputError, match="--image_size=96"):
        flags.image_size(parsed(distill, f"--image_size={word}"))


@pytest.mark.parametrize("kind", [experiments.Settings, SearchSettings])
def test_the_size_is_part_of_a_configuration_only_where_asked_for(kind):
    recipe = Recipe.preset("official")
    settings = {"recipe": recipe, "teacher": "fashion_mini"}
    assert "image_size" not in kind(**settings).configuration()
    asked = kind(**settings, image_size=64).configuration()
    # As it is read again from run.json.
    assert asked["image_size"] == [64, 64]
    assert kind(**settings, image_size=[64, 64]).configuration() == asked


@pytest.mark.parametrize("kind", [experiments.Settings, SearchSettings])
def test_files_are_skipped_only_where_asked_for(kind):
    recipe = Recipe.preset("official")
    settings = {"recipe": recipe, "teacher": "fashion_mini"}
    assert "skip_unreadable" not in kind(**settings).configuration()
    asked = kind(**settings, skip_unreadable=True)
    assert asked.configuration()["skip_unreadable"] is True
    assert optional_of_load(vars(asked)) == {"skip_unreadable": True}


def test_one_number_is_a_square():
    assert resolve_image_size(64) == (64, 64)
    assert resolve_image_size([6, 12]) == (6, 12)
