import pytest
from keras_tuner.src.tuners.hyperband import HyperbandOracle

from keras_ft.tuner.settings import first_round


@pytest.mark.parametrize("epochs", [1, 2, 3, 6, 8, 9, 20, 27, 80, 81, 164])
def test_it_is_what_keras_tuner_asks_first(epochs):
    oracle = HyperbandOracle(objective="val_accuracy", max_epochs=epochs)
    first = oracle._get_num_brackets() - 1
    assert first_round(epochs) == oracle._get_size(first, 0)
