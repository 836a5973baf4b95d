import keras
import pytest

from keras_ft import zoo
from keras_ft.errors import InputError
from keras_ft.experiments.comparison.method import parse_all
from keras_ft.experiments.comparison.tap_pairs import TapPairs


@pytest.fixture(scope="module")
def student():
    return zoo.resnet8(10, (28, 28, 1))


def names(pairs):
    return {name: (t.name, s.name) for name, (t, s) in pairs.pairs.items()}


def test_stages_of_the_zoo(student):
    teacher = zoo.resnet14(10, (28, 28, 1))
    methods = parse_all(("fitnet", "ft+at"))
    found = names(TapPairs.of(teacher, student, methods))
    assert found == {
        "factor": ("stage3", "stage3"),
        "hint": ("stage2", "stage2"),
        "attention_1": ("stage1", "stage1"),
        "attention_2": ("stage2", "stage2"),
        "attention_3": ("stage3", "stage3"),
    }


def test_only_what_is_wanted(student):
    assert not TapPairs.of(student, student, parse_all(("none", "kd"))).pairs
    only = TapPairs.of(student, student, parse_all(("ft",)), "stage2", "stage1")
    assert names(only) == {"factor": ("stage2", "stage1")}


def test_networks_without_stages_are_paired_by_size(network, student):
    # Maps of 28x28 only, the last of which is its ReLU's.
    layers = keras.layers
    image = keras.Input((28, 28, 1))
    x = layers.ZeroPadding2D(1)(image)
    x = layers.ReLU(name="last")(layers.Conv2D(4, 3)(x))
    x = layers.GlobalAveragePooling2D()(x)
    teacher = keras.Model(image, layers.Dense(10)(x))
    found = names(TapPairs.of(teacher, student, parse_all(("at",))))
    assert found == {"attention_1": ("last", "stage1")}


def test_no_size_in_common_is_refused(network, student):
    with pytest.raises(InputError, match="8x8 in the teacher"):
        TapPairs.of(network(), student, parse_all(("at",)))
