import math

import pytest

from keras_ft import report
from keras_ft.report import pages


def metrics(ft, student=None):
    content = {
        "teacher_accuracy": 0.93,
        "ft_accuracy": ft,
        "test_examples": 2000,
    }
    return content | ({} if student is None else {"none_accuracy": student})


@pytest.mark.parametrize(
    ("ft", "student", "expected"),
    [
        (0.88, 0.84, "+4.0 points on 2,000 test images. One seed: an indic"),
        (0.85, 0.84, "+1.0 points on 2,000 test images. That is within the n"),
        (0.84, 0.84, "+0.0 points on 2,000 test images. No gain"),
        (0.83, 0.84, "-1.0 points on 2,000 test images. No gain"),
    ],
)
def test_the_headline_is_plain_about_gain_and_loss(ft, student, expected):
    line = report.headline(metrics(ft, student))
    assert line.startswith(f"Student with Factor Transfer: {100 * ft:.1f} %")
    assert expected in line


def test_without_a_baseline_no_gain_is_claimed():
    assert "nothing to compare it with" in report.headline(metrics(0.88))


def test_a_teacher_alone():
    line = report.headline({"teacher_accuracy": 0.93, "test_examples": 2000})
    assert line == "Teacher: 93.0 % on 2,000 test images."


def test_noise_is_the_normal_approximation_of_two_shares():
    # 1.96 * sqrt(p q / n + p q / n) in points; p = 0.8, n = 2000.
    assert pages.noise(0.8, 2000) == pytest.approx(
        100 * 1.96 * math.sqrt(0.16 / 2000 + 0.16 / 2000)
    )


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (999, "999 B"),
        (1000, "1 kB"),
        (317_900, "318 kB"),
        (1e6, "1.0 MB"),
        (1.3e9, "1,300 MB"),
    ],
)
def test_size(count, expected):
    assert pages.size(int(count)) == expected


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (None, "not trained here"),
        (59.6, "1 min 0 s"),
        (8, "8 s"),
        (75, "1 min 15 s"),
        (7260, "2 h 1 min"),
    ],
)
def test_time(seconds, expected):
    assert pages.time(seconds) == expected
