import numpy as np
import pytest

from keras_ft.comparison import memory


def test_the_peak_is_of_now_and_not_of_before():
    if not memory.forget_peak():
        pytest.skip("this system does not tell a peak anew")
    big = np.ones(25_000_000)  # 200 MB
    with_big = memory.peak_bytes()
    del big
    assert memory.forget_peak()
    assert with_big - memory.peak_bytes() > 150e6
