import numpy as np
import pytest
from scipy import stats

from keras_ft.experiments.comparison.difference import Difference


def by_seed(*accuracies):
    return dict(enumerate(accuracies))


@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_mean_and_interval_are_those_of_a_paired_t_test(count):
    draw = np.random.default_rng(count)
    plain = draw.normal(0.9, 0.01, count)
    ours = plain + draw.normal(0.01, 0.005, count)
    found = Difference.of(by_seed(*ours), by_seed(*plain))
    known = stats.ttest_rel(100 * ours, 100 * plain).confidence_interval(0.95)
    assert found.mean == pytest.approx(100 * (ours - plain).mean())
    assert found.low == pytest.approx(known.low)
    assert found.high == pytest.approx(known.high)


def test_an_interval_by_hand():
    # Differences 1, 2 and 3 points: mean 2, deviation 1, t(2) = 4.302653.
    found = Difference.of(by_seed(0.51, 0.52, 0.53), by_seed(0.5, 0.5, 0.5))
    assert found.low == pytest.approx(2 - 4.302653 / 3**0.5, abs=1e-5)
    assert found.verdict == "no gain shown"
    assert str(found) == "+2.0 pt, 95 % CI [-0.5, 4.5]"


def test_an_interval_never_seems_to_touch_zero():
    assert str(Difference(3, 0.5, 0.003, 0.997)) == (
        "+0.500 pt, 95 % CI [0.003, 0.997]"
    )
    assert str(Difference(3, -0.3, -0.55, -0.045)) == (
        "-0.30 pt, 95 % CI [-0.55, -0.04]"
    )
    # A zero has no sign of its own.
    assert str(Difference(3, -0.02, -0.5, 0.46)).startswith("+0.0 pt")


def test_seeds_are_paired_and_missing_ones_left_out():
    found = Difference.of({1: 0.6, 2: 0.7, 4: 0.9}, {2: 0.6, 1: 0.5, 3: 0.1})
    assert found.seeds == 2 and found.mean == pytest.approx(10.0)
    assert Difference.of({0: 0.5}, {1: 0.5}) is None


@pytest.mark.parametrize(
    ("ours", "sentence"),
    [
        ((0.909, 0.909, 0.910), "FT +0.9 pt over plain, 95 % CI [0.8, 1.1]"),
        (
            (0.890, 0.891, 0.890),
            "FT: a loss against plain, -1.0 pt, 95 % CI [-1.1, -0.8]",
        ),
        (
            (0.91, 0.89, 0.90),
            "FT: no gain shown over plain (+0.0 pt, 95 % CI [-2.5, 2.5])",
        ),
        (
            (0.91,),
            "FT: +1.0 pt against plain; one seed shows nothing",
        ),
        (
            (0.91, 0.91, 0.91),
            "FT: no gain shown over plain (+1.0 pt with each seed, hence no "
            "interval)",
        ),
    ],
)
def test_verdicts_in_words(ours, sentence):
    plain = dict.fromkeys(range(3), 0.9)
    found = Difference.of(by_seed(*ours), plain)
    assert found.sentence("FT", "plain") == sentence


def test_two_seeds_are_called_two():
    found = Difference.of(by_seed(0.92, 0.9201), by_seed(0.9, 0.9))
    assert found.verdict == "gain"
    assert found.sentence("FT", "plain").endswith("(two seeds only)")


def test_a_bound_beside_zero_is_not_printed_as_zero():
    found = Difference(3, 0.5, 0.02, 0.98)
    assert found.verdict == "gain"
    assert str(found) == "+0.50 pt, 95 % CI [0.02, 0.98]"
