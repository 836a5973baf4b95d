"""Which values a constraint takes, and what it says about others."""

import math
import pickle

import numpy as np
import pytest

from keras_ft import InputError
from keras_ft.validation import parameters
from keras_ft.validation.parameters import Interval
from keras_ft.validation.parameters import OneOf

RATE = Interval(float, 0, closed="neither", fix="Use 0.5.")
SHARE = Interval(float, 0, 1, fix="Use 0.1.")
MOMENTUM = Interval(float, 0, 1, closed="left", fix="Use 0.9.")
EPOCHS = Interval(int, 1, fix="Use 6.")
VIEWS = Interval(int, 1, optional=True, fix="Use 8.")
SHAPE = OneOf(("step", "linear"), fix="Use 'step'.")
LOSS = OneOf(("l1",), fix="Use 'l1'.")

NO_NUMBERS = [True, "1", None, math.nan, math.inf, -math.inf]


@pytest.mark.parametrize(
    ("constraint", "right", "wrong", "expected"),
    [
        (RATE, [1e-9, 4, np.float32(0.5)], [0, -1], "a number above 0"),
        (SHARE, [0, 1, 0.5], [-0.1, 1.1], "a number from 0 to 1"),
        (
            MOMENTUM,
            [0, 0.9],
            [1, -0.1],
            "a number of at least 0 and below 1",
        ),
        (EPOCHS, [1, np.int64(6)], [0, 1.0], "a whole number of at least 1"),
    ],
)
def test_intervals(constraint, right, wrong, expected):
    for value in right:
        constraint.check("name", value)
    for value in [*wrong, *NO_NUMBERS]:
        with pytest.raises(InputError) as caught:
            constraint.check("name", value)
        assert str(caught.value) == (
            f"Invalid `name`. Received: {value!r}. Expected: {expected}. "
            f"{constraint.fix}"
        )


def test_an_optional_parameter_may_be_none():
    VIEWS.check("views", None)
    with pytest.raises(InputError, match="of at least 1 or None. Use 8."):
        VIEWS.check("views", 0)


def test_options():
    SHAPE.check("shape", "linear")
    with pytest.raises(InputError, match="'cosine'. Expected: 'step' or 'li"):
        SHAPE.check("shape", "cosine")
    with pytest.raises(InputError, match="Expected: 'l1'. Use 'l1'"):
        LOSS.check("loss", "l2")


def test_all_parameters_at_once_and_the_first_wrong_one_is_named():
    constraints = {"epochs": EPOCHS, "rate": RATE}
    parameters.check(constraints, {"rate": 1, "epochs": 1, "free": None})
    with pytest.raises(InputError) as caught:
        parameters.check(constraints, {"rate": 0, "epochs": 1})
    assert caught.value.argument == "rate"


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["`--beta_ratio` needs `--beta=auto`."], None),
        (
            ["rate", -1, "a number above 0", "Use 0.5."],
            "Invalid `rate`. Received: -1. Expected: a number above 0. "
            "Use 0.5.",
        ),
    ],
)
def test_an_error_is_one_sentence_or_four_parts_and_can_be_sent(given, message):
    for error in (
        InputError(*given),
        pickle.loads(pickle.dumps(InputError(*given))),
    ):
        assert str(error) == (message or given[0])
        assert error.argument == given[0]
        parts = [error.received, error.expected, error.fix]
        assert parts == (given[1:] or [None, "", ""])
