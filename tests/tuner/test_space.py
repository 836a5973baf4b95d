import keras_tuner
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft.tuner import LogRange
from keras_ft.tuner import space
from keras_ft.tuner.space import Space


def test_values_survive_the_float32_of_chief_and_workers():
    hp = keras_tuner.HyperParameters()
    values = Space({"rate": (0.1, 0.3), "beta": LogRange(7, 9)}).declare(hp)
    there = keras_tuner.HyperParameters.from_proto(hp.to_proto())
    assert there.values["rate"] in hp.space[0].values
    assert space.values_of(there) == space.values_of(hp) == values
    assert values["rate"] == 0.1


def test_a_neighbor_in_float32_would_be_another_value():
    assert float(np.float32(0.1)) != 0.1
    assert space.canonical(float(np.float32(0.1))) == 0.1


def test_what_is_not_searched_is_no_parameter():
    hp = keras_tuner.HyperParameters()
    assert Space({"rate": (1,), "beta": None}).declare(hp) == {"rate": 1.0}
    assert list(hp.values) == ["rate"]


def test_the_tuners_own_values_are_left_out_and_the_rate_comes_first():
    hp = keras_tuner.HyperParameters()
    hp.values = {"beta": 2.0, "width": 3, "tuner/epochs": 1, "rate": 0.5}
    assert list(space.values_of(hp)) == ["rate", "beta", "width"]
    assert space.label(space.values_of(hp)) == "rate 0.5, beta 2, width 3"


def test_a_range_is_searched_by_its_logarithm():
    hp = keras_tuner.HyperParameters()
    Space({"beta": LogRange(1, 1e4)}).declare(hp)
    drawn = [hp.space[0].random_sample(seed) for seed in range(200)]
    assert 0.35 < np.mean([value < 100 for value in drawn]) < 0.65


@pytest.mark.parametrize(
    ("name", "axis"),
    [
        ("rate", ()),
        ("rate", (0.5, -1)),
        ("rate", (float("nan"),)),
        ("rate", ("a",)),
        ("p", (1, 3)),
        ("p", LogRange(1, 2)),
    ],
)
def test_bad_values_are_refused(name, axis):
    with pytest.raises(InputError, match=name):
        Space({name: axis})


@pytest.mark.parametrize("ends", [(0, 1), (2, 1), (1, 1), (1, float("inf"))])
def test_bad_ranges_are_refused(ends):
    with pytest.raises(InputError, match="range"):
        LogRange(*ends)
