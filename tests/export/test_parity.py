import numpy as np
import pytest

from keras_ft.export import ParityError
from keras_ft.export.parity import check_parity
from keras_ft.export.parity import coarse_step_hint
from keras_ft.export.parity import median_margin
from keras_ft.export.quantizations import QUANTIZATIONS

EXPECTED = np.array(
    [[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.4, 0.35, 0.25], [0.0, 0.1, 0.9]],
    np.float32,
)


def _moved(sample, *row):
    received = EXPECTED.copy()
    received[sample] = row
    return received


def test_equal_probabilities_pass():
    assert check_parity(EXPECTED, EXPECTED, "none") == (1.0, 0.0)


# What to_tflite's documentation promises: agreement, and accuracy lost.
LIMITS = {
    "none": (1.0, 0.0),
    "float16": (0.99, 0.005),
    "dynamic": (0.97, 0.005),
    "int8": (0.95, 0.005),
    "int8_io": (0.95, 0.005),
    "dynamic_wi8": (0.97, 0.005),
    "dynamic_wi4": (0.9, 0.03),
}
SAMPLES = 10_000


def _near_ties(count):
    """Two classes that are nearly as probable, the first one more so.

    More so than rounding decides, and less than a float file may be off: what
    exchanges them changes the class and little else.
    """
    return np.tile([[0.500002, 0.499998]], (count, 1))


def _exchanged(expected, count):
    received = expected.copy()
    received[:count] = received[:count, ::-1]
    return received


def test_every_kind_of_file_has_its_limits():
    assert LIMITS.keys() == QUANTIZATIONS.keys()


@pytest.mark.parametrize("kind", LIMITS)
def test_agreement_is_held_to_what_is_promised(kind):
    least, _ = LIMITS[kind]
    expected = _near_ties(SAMPLES)
    others = round((1 - least) * SAMPLES)
    agreement, _ = check_parity(expected, _exchanged(expected, others), kind)
    assert agreement == pytest.approx(least)
    with pytest.raises(ParityError) as caught:
        check_parity(expected, _exchanged(expected, others + 1), kind)
    assert caught.value.metric == "agreement"
    assert caught.value.limit == least
    assert f"(agreement), less than {least:g}" in str(caught.value)


@pytest.mark.parametrize("kind", LIMITS)
def test_lost_accuracy_is_held_to_what_is_promised(kind):
    _, most = LIMITS[kind]
    # As good as equal: that another class is named is no disagreement.
    expected = np.tile([[0.5 + 1e-7, 0.5 - 1e-7]], (SAMPLES, 1))
    labels = np.zeros(SAMPLES, np.int64)
    lost = max(2, round(most * SAMPLES))
    received = _exchanged(expected, lost)
    check_parity(expected, received, kind, labels=labels)
    received = _exchanged(expected, lost + 1)
    with pytest.raises(ParityError) as caught:
        check_parity(expected, received, kind, labels=labels)
    assert caught.value.metric == "accuracy_drop"
    assert caught.value.limit == most


def test_limits_of_ones_own_take_the_place_of_the_kinds():
    expected = _near_ties(100)
    own = {"min_agreement": 0.6}
    check_parity(expected, _exchanged(expected, 40), "float16", **own)
    with pytest.raises(ParityError, match="less than 0.6"):
        check_parity(expected, _exchanged(expected, 41), "float16", **own)


def test_what_is_measured():
    received = _moved(2, 0.35, 0.4, 0.25)
    agreement, error = check_parity(
        EXPECTED, received, "int8", min_agreement=0.7
    )
    assert agreement == 0.75
    assert error == pytest.approx(0.05)


def test_a_tie_that_rounding_decides_is_no_disagreement():
    tie = np.array([[0.5, 0.5 - 5e-7, 0.0]])
    agreement, _ = check_parity(tie, tie[:, [1, 0, 2]], "none")
    assert agreement == 1.0
    near = np.array([[0.5, 0.5 - 2e-6, 0.0]])
    with pytest.raises(ParityError, match="agreement"):
        check_parity(near, near[:, [1, 0, 2]], "none")


def test_a_float_file_is_held_to_1e_4():
    exact = np.array([[0.75, 0.25]])
    check_parity(exact, exact + [[0, 0.99e-4]], "none")
    check_parity(exact, exact - [[0, 0.99e-4]], "none")
    for moved in (exact + [[0, 1.01e-4]], exact - [[0, 1.01e-4]]):
        with pytest.raises(
            ParityError, match=r"\(max_error\), more than 0.0001"
        ):
            check_parity(exact, moved, "none")
        # Other kinds are held to classes alone.
        check_parity(exact, moved, "float16")


@pytest.mark.parametrize("row", [(0.7, 0.2, 0.1002), (0.6998, 0.2, 0.1)])
def test_the_sample_that_is_off_is_named(row):
    with pytest.raises(ParityError) as caught:
        check_parity(EXPECTED, _moved(0, *row), "none")
    assert (caught.value.metric, caught.value.worst) == ("max_error", 0)
    assert caught.value.measured == pytest.approx(2e-4, rel=0.01)


def test_the_worst_sample_is_one_that_disagrees():
    # Sample 0 moves further, but says the same.
    received = _moved(2, 0.3, 0.45, 0.25)
    received[0] = (1.0, 0.0, 0.0)
    with pytest.raises(ParityError) as caught:
        check_parity(
            EXPECTED, received, "int8", class_names=("cat", "dog", "eel")
        )
    assert caught.value.worst == 2
    assert "Keras says cat (0.400), LiteRT says dog (0.450)" in str(
        caught.value
    )
    assert '"dynamic"' in str(caught.value)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_no_number_is_never_parity(value):
    received = _moved(1, value, 0.8, 0.1)
    with pytest.raises(ParityError) as caught:
        check_parity(EXPECTED, received, "int8", min_agreement=0.0)
    assert (caught.value.metric, caught.value.worst) == ("finite", 1)


def _hundred(right):
    """Probabilities of 100 samples of class 0, of which so many are right."""
    rows = np.tile([[0.4, 0.6]], (100, 1))
    rows[:right] = (0.6, 0.4)
    return rows


def _check_accuracy(before, after, **limits):
    labels = np.zeros(100, np.int64)
    check_parity(
        _hundred(before),
        _hundred(after),
        "int8",
        min_agreement=0.0,
        labels=labels,
        **limits,
    )


def test_lost_accuracy_is_refused_beyond_two_samples():
    _check_accuracy(90, 88)
    with pytest.raises(ParityError) as caught:
        _check_accuracy(90, 87)
    assert caught.value.metric == "accuracy_drop"
    assert caught.value.measured == pytest.approx(0.03)
    assert caught.value.limit == 0.005
    assert 87 <= caught.value.worst < 90
    assert "0.03 of the samples fewer than Keras" in str(caught.value)
    _check_accuracy(90, 85, max_accuracy_drop=0.05)


def test_gained_accuracy_is_no_drop():
    _check_accuracy(80, 90)


def test_a_step_above_the_margin_is_told():
    logits = np.array([[1.0, 4.0, 2.0], [0.0, 0.0, -9.0], [5.0, 1.0, 0.5]])
    assert median_margin(logits) == 2.0
    assert coarse_step_hint(2.0, 2.0) == coarse_step_hint(None, 2.0) == ""
    assert "steps of 2.5, more than the 2 " in coarse_step_hint(2.5, 2.0)
