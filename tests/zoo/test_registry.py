import pytest

from keras_ft import zoo
from keras_ft.errors import InputError


def test_names():
    assert zoo.names() == (
        "resnet8",
        "resnet14",
        "resnet20",
        "resnet32",
        "resnet44",
        "resnet56",
        "resnet110",
        "wrn16_1",
        "wrn16_2",
        "wrn40_1",
        "wrn40_2",
        "vgg8",
        "vgg13",
        "mobilenet_v2_small",
    )


@pytest.mark.parametrize("name", zoo.names())
def test_the_name_builds_the_network_of_that_name(name):
    assert zoo.build(name, classes=3).name == name


def test_wide_resnets_beyond_the_list():
    assert zoo.build("wrn10_1", classes=2).name == "wrn10_1"


def test_an_impossible_wide_resnet_says_why():
    with pytest.raises(InputError, match="6n \\+ 4"):
        zoo.build("wrn17_1")


@pytest.mark.parametrize(
    ("name", "suggestion"),
    [
        ("resnet21", "Did you mean .*resnet20"),
        ("wrn-16-2", "Did you mean .*wrn16_2"),
        ("mobilenet", "Did you mean mobilenet_v2_small"),
        ("transformer", "Pick one of these"),
    ],
)
def test_unknown_names_get_a_suggestion(name, suggestion):
    with pytest.raises(InputError, match=suggestion):
        zoo.build(name)
