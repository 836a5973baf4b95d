"""Bad values are named before anything is read."""

from typing import Any

import pytest

from keras_ft.data.load_settings import LoadSettings
from keras_ft.errors import InputError


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch_size": 0},
        {"batch_size": 12.5},
        {"seed": -1},
        {"seed": 2**63},
        {"validation_fraction": 1},
        {"validation_fraction": -0.1},
        {"validation_fraction": float("nan")},
        {"image_size": 32.5},
        {"image_size": "large"},
        {"image_size": 0},
        {"image_size": (32, 0)},
        {"image_size": (32, 32, 3)},
        {"train_examples": 0},
    ],
)
def test_out_of_range(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError) as caught:
        LoadSettings(**wrong)
    assert caught.value.argument == next(iter(wrong))
