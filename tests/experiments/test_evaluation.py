import numpy as np
import pytest

from keras_ft.experiments.evaluation import Evaluation


@pytest.mark.parametrize(
    ("confusion", "at_chance"),
    [
        ([[30, 0], [30, 0]], True),  # Always the same answer.
        ([[180, 0], [20, 0]], True),  # 90 % right, and yet blind.
        ([[170, 10], [4, 16]], False),
        ([[70, 30], [30, 70]], False),  # Weak, but it sees something.
        ([[52, 48], [48, 52]], True),
        ([[4, 0], [0, 4]], False),
        ([[0, 0], [0, 0]], True),
        ([[20, 0, 0], [0, 20, 0], [0, 0, 0]], False),  # One class is absent.
    ],
)
def test_chance_is_what_does_not_depend_on_the_class(confusion, at_chance):
    found = Evaluation(tuple(map(tuple, confusion)))
    assert found.is_at_chance == at_chance


def test_guesses_are_at_chance_and_a_third_of_100_classes_is_not():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 100, 200)
    for known, at_chance in ((0.0, True), (0.33, False)):
        answers = np.where(
            rng.random(200) < known, labels, rng.integers(0, 100, 200)
        )
        confusion = np.zeros((100, 100), int)
        np.add.at(confusion, (labels, answers), 1)
        assert Evaluation(tuple(map(tuple, confusion))).is_at_chance == (
            at_chance
        )
