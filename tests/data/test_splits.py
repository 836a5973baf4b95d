"""Stratified parts and the three splits."""

import numpy as np
import pytest

from keras_ft.data import splits as splitting
from keras_ft.data.load_settings import LoadSettings
from keras_ft.data.splits import Split
from keras_ft.data.splits import stratified
from keras_ft.errors import InputError


def a_split(count: int, first: int = 0) -> Split:
    labels = (np.arange(count) % 3).astype(np.int32)
    positions = np.arange(first, first + count)
    return Split(lambda chosen: chosen, labels, positions)


def members(split: Split) -> set[int]:
    return set(split.positions.tolist())


def test_classes_keep_their_proportions() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    chosen = stratified(labels, 20, (0, 0))
    assert np.bincount(labels[chosen]).tolist() == [12, 6, 2]
    assert len(set(chosen.tolist())) == 20


def test_the_choice_is_random_and_seeded() -> None:
    labels = np.repeat([0, 1], 50)
    first = stratified(labels, 20, (1, 0))
    np.testing.assert_array_equal(first, stratified(labels, 20, (1, 0)))
    for other in ((2, 0), (1, 1)):
        assert np.any(first != stratified(labels, 20, other))


@pytest.mark.parametrize("count", [0, 1, 7, 100])
def test_any_count_can_be_taken(count: int) -> None:
    assert len(stratified(np.repeat([0, 1], 50), count, (0, 0))) == count


def test_train_only_gives_three_disjoint_splits() -> None:
    found, notes = splitting.divide({"train": a_split(300)}, LoadSettings())
    parts = [members(found[part]) for part in ("train", "validation", "test")]
    assert [len(part) for part in parts] == [243, 27, 30]
    assert len(set.union(*parts)) == 300
    assert "no test split" in notes[0]


def test_a_validation_split_stays_one_and_test_is_cut() -> None:
    source = {"train": a_split(300), "validation": a_split(60, 300)}
    found, notes = splitting.divide(source, LoadSettings())
    assert members(found["validation"]) == set(range(300, 360))
    assert len(found["test"]) == 30
    assert not members(found["train"]) & members(found["test"])
    assert members(found["train"]) | members(found["test"]) == set(range(300))
    assert "no test split" in notes[0]


def test_complete_sources_are_left_alone() -> None:
    source = {
        "train": a_split(300),
        "validation": a_split(60, 300),
        "test": a_split(30, 360),
    }
    found, notes = splitting.divide(source, LoadSettings())
    assert found == source and notes == ()


def test_no_validation_on_request_is_said() -> None:
    source = {"train": a_split(300), "test": a_split(30, 300)}
    settings = LoadSettings(validation_fraction=0)
    found, notes = splitting.divide(source, settings)
    assert len(found["train"]) == 300
    assert found["validation"] is found["test"]
    assert "choose nothing" in notes[0]


def test_few_examples_leave_validation_as_it_is() -> None:
    source = {"train": a_split(300), "test": a_split(30, 300)}
    whole, _ = splitting.divide(source, LoadSettings())
    few, _ = splitting.divide(source, LoadSettings(train_examples=30))
    assert members(few["validation"]) == members(whole["validation"])
    assert members(few["train"]) < members(whole["train"])
    assert np.bincount(few["train"].labels).tolist() == [10, 10, 10]


@pytest.mark.parametrize(
    ("settings", "argument"),
    [
        (LoadSettings(validation_fraction=0.001), "validation_fraction"),
        (LoadSettings(validation_fraction=0), "validation_fraction"),
        (LoadSettings(train_examples=299), "train_examples"),
    ],
)
def test_too_few_images_are_refused(
    settings: LoadSettings, argument: str
) -> None:
    with pytest.raises(InputError) as caught:
        splitting.divide({"train": a_split(300)}, settings)
    assert caught.value.argument == argument
