import pytest

from keras_ft.errors import InputError
from keras_ft.experiments.comparison import METHODS
from keras_ft.experiments.comparison import MethodSettings
from keras_ft.experiments.comparison.method import TITLES
from keras_ft.experiments.comparison.method import Method
from keras_ft.experiments.comparison.method import parse_all


def test_the_default_methods_are_themselves():
    assert tuple(Method.parse(word).name for word in METHODS) == METHODS
    assert Method.parse("none").parts == ()
    assert set(TITLES) == {"ft", "fitnet", "at", "kd"}


def test_a_sum_has_one_spelling():
    assert Method.parse("kd+ft") == Method.parse("ft+kd")
    assert Method.parse("kd+ft").title == "FT+KD"
    assert len(parse_all(("kd+ft", "none", "ft+kd"))) == 2


@pytest.mark.parametrize("word", ["", "ft+", "ft+ft", "none+kd", "crd", "FT"])
def test_other_words_are_refused(word):
    with pytest.raises(InputError, match="methods"):
        Method.parse(word)


def test_no_method_at_all_is_refused():
    with pytest.raises(InputError, match="none at all"):
        parse_all(())


@pytest.mark.parametrize(
    "wrong",
    [{"kd_alpha": 1.5}, {"at_beta": -1.0}, {"fitnet_beta": float("nan")}],
)
def test_settings_out_of_range_are_refused(wrong):
    with pytest.raises(InputError, match=next(iter(wrong))):
        MethodSettings(**wrong)
