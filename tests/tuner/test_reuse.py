"""What earlier searches left is used again, or refused."""

import keras_tuner
import pytest

from keras_ft import Recipe
from keras_ft.tuner import SearchError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]


def statuses(tuner):
    return {trial.status for trial in tuner.oracle.trials.values()}


def test_a_finished_search_is_not_trained_again(hypermodel, search, fits):
    first = hypermodel(rates=(0.5,))
    table = first.results(search(keras_tuner.GridSearch, first))
    assert fits == ["ParaphraserTrainer", "FactorTransfer"]
    fits.clear()
    second = hypermodel(rates=(0.5,))
    again = search(keras_tuner.GridSearch, second, "elsewhere")
    assert second.results(again) == table
    assert not fits
    # Another beta needs another student, but no other paraphraser.
    third = hypermodel(rates=(0.5,), betas=(7.0,))
    search(keras_tuner.GridSearch, third, "third")
    assert fits == ["FactorTransfer"]


@pytest.mark.long
def test_a_damaged_student_is_refused_by_name(
    searched_before, hypermodel, search, tmp_path
):
    # The last of those that were the best so far.
    *_, path = sorted(tmp_path.glob("cache/trials/*/student-*.weights.h5"))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    with pytest.raises(SearchError, match=path.name):
        search(keras_tuner.GridSearch, hypermodel(rates=(0.5,)))
    # As the message says.
    path.unlink()
    model = hypermodel(rates=(0.5,))
    assert statuses(search(keras_tuner.GridSearch, model)) == {"COMPLETED"}
    assert (
        model.results(search(keras_tuner.GridSearch, model))[0]["epochs"] == 2
    )


@pytest.mark.long
def test_a_deleted_paraphraser_is_trained_again(
    searched_before, hypermodel, search, fits, tmp_path
):
    (path,) = tmp_path.glob("cache/paraphrasers/*/paraphraser.keras")
    path.unlink()
    model = hypermodel(rates=(0.5,), betas=(7.0,))
    assert statuses(search(keras_tuner.GridSearch, model)) == {"COMPLETED"}
    assert fits == ["ParaphraserTrainer", "FactorTransfer"]


@pytest.mark.long
def test_shorter_searches_find_what_longer_ones_trained(
    hypermodel, search, fits
):
    recipe = Recipe.preset("official").short(1, 3)

    def model():
        return hypermodel(recipe=recipe, rates=(0.25, 0.5, 1.0))

    search(keras_tuner.GridSearch, model())
    fits.clear()
    hyperband = search(
        keras_tuner.Hyperband, model(), "hyperband", max_epochs=3, factor=3
    )
    assert statuses(hyperband) == {"COMPLETED"}
    short = model()
    tuner = search(keras_tuner.GridSearch, short, "short", epochs=1)
    assert not fits
    for row in short.results(tuner):
        assert (row["best_epoch"], row["epochs"]) == (1, 1)
        assert row["seconds"] > 0


def test_a_damaged_result_is_no_failed_trial(
    searched_before, hypermodel, search, tmp_path
):
    (path,) = tmp_path.glob("cache/trials/*/result.json")
    path.write_text(path.read_text("utf-8")[:-20], encoding="utf-8")
    with pytest.raises(SearchError, match=path.name):
        search(keras_tuner.GridSearch, hypermodel(rates=(0.5,)))
