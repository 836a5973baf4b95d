import json

import numpy as np
import PIL.Image
import pytest

from keras_ft import export
from keras_ft.export.android_bundle.golden_images import choose_golden
from keras_ft.export.android_bundle.golden_images import tolerance
from keras_ft.export.android_bundle.golden_images import write_golden


def rows(*tops, classes=3, best=0.9):
    """Probabilities whose best class is given, one row for each."""
    found = np.full((len(tops), classes), (1 - best) / (classes - 1), "float32")
    found[np.arange(len(tops)), tops] = best
    return found


def test_every_class_has_its_turn_in_the_order_of_the_images():
    answers = rows(0, 0, 0, 2, 1, 2)
    assert choose_golden(answers, "int8", 5) == [0, 4, 3, 1, 5]


def test_near_ties_are_left_out():
    answers = rows(0, 1, 2)
    answers[1] = 0.35, 0.35 + 1.9 * tolerance("int8"), 0.26
    assert choose_golden(answers, "int8", 9) == [0, 2]


def test_nothing_but_ties_is_refused():
    answers = np.full((40, 3), 1 / 3, np.float32)
    with pytest.raises(export.ExportError, match="never more than 0.04 apart"):
        choose_golden(answers, "int8", 4)


@pytest.mark.parametrize("channels", [1, 3])
def test_pictures_keep_every_pixel(tmp_path, channels):
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (3, 5, 4, channels), np.uint8)
    write_golden(tmp_path, images, rows(0, 1, 2), "none", ("a", "b", "c"))
    content = json.loads((tmp_path / "golden" / "golden.json").read_text())
    assert content["tolerance"] == 1e-4
    for known, image in zip(content["images"], images, strict=True):
        with PIL.Image.open(tmp_path / "golden" / known["file"]) as picture:
            pixels = np.asarray(picture).reshape(5, 4, channels)
        np.testing.assert_array_equal(pixels, image)
    assert [known["label"] for known in content["images"]] == ["a", "b", "c"]
    assert content["images"][0]["probabilities"] == [0.9, 0.05, 0.05]


def test_fewer_bits_are_allowed_more():
    assert tolerance("none") < tolerance("float16") < tolerance("int8")
