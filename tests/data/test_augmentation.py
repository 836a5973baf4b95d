"""Names of augmentations: one way to write them, defaults, refusals."""

import pytest

from keras_ft.data import augmentation
from keras_ft.errors import InputError


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (False, "none"),
        ("none", "none"),
        ("flip+crop", "crop+flip"),
        ("cutmix+mixup+randaugment", "randaugment+mixup+cutmix"),
        ("flip", "flip"),
    ],
)
def test_there_is_one_way_to_write_it(asked: str | bool, found: str) -> None:
    # Whatever the data set: it was asked for by name.
    for dataset in ("mnist", "cifar10"):
        assert augmentation.resolve(asked, dataset) == found


@pytest.mark.parametrize(
    ("dataset", "found"),
    [
        ("fashion_mini", "crop+flip"),
        ("cifar10", "crop+flip"),
        ("fashion_mnist", "crop+flip"),
        ("photos/", "crop+flip"),
        ("mnist", "crop"),
        ("mnist:3.0.1", "crop"),
        ("emnist/letters", "crop"),
        ("kmnist", "crop"),
        ("svhn_cropped", "crop"),
    ],
)
def test_digits_and_letters_are_not_mirrored(dataset: str, found: str) -> None:
    assert augmentation.resolve(True, dataset) == found


@pytest.mark.parametrize(
    "wrong", ["", "crop,flip", "crop+crop", "none+crop", "CROP", None, 1, "+"]
)
def test_other_words_are_refused(wrong: object) -> None:
    with pytest.raises(InputError, match="none, or some of crop, flip") as got:
        augmentation.resolve(wrong, "cifar10")  # type: ignore[arg-type]
    assert got.value.argument == "augment"


def test_mixing_is_known() -> None:
    assert augmentation.steps("none") == ()
    assert augmentation.steps("crop+cutmix") == ("crop", "cutmix")
    assert augmentation.mixes("crop+cutmix") and augmentation.mixes("mixup")
    assert not augmentation.mixes("crop+flip+randaugment")
