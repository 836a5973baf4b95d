import numpy as np
import pytest

from keras_ft.feature_cache.teacher_pass import ACCELERATED


@pytest.mark.parametrize(
    ("cosines", "missed"),
    [
        ([0.9991, 0.9991], None),
        ([0.9985] * 16, "a mean cosine of 0.99850, below 0.999"),
        ([0.9925] + [1.0] * 15, None),
        ([0.9875] + [1.0] * 15, "a cosine of 0.98750, below 0.99"),
        ([float("nan"), 1.0], "a mean cosine of nan, below 0.999"),
    ],
)
def test_both_limits_count(cosines, missed):
    assert ACCELERATED.missed(np.float32(cosines)) == missed
