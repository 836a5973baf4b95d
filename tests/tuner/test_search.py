"""Whole searches with keras-tuner's tuners."""

import h5py
import keras
import keras_tuner
import numpy as np
import pytest

from keras_ft import Distiller
from keras_ft import InputError
from keras_ft import Recipe
from keras_ft import methods
from keras_ft.feature_cache.store import FolderStore
from keras_ft.tuner import LogRange
from keras_ft.tuner import SearchError

pytestmark = [
    pytest.mark.slow,
    # keras-tuner asks for the thread's name in an old way.
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]
RATES = (0.25, 0.5, 1.0)


def statuses(tuner):
    return {trial.status for trial in tuner.oracle.trials.values()}


def test_a_sweep_over_the_rate(hypermodel, search, monkeypatch, tmp_path):
    rows = []
    add = FolderStore.add

    def counted(self, view, added, errors):
        rows.extend((view, number) for number in added["number"])
        return add(self, view, added, errors)

    monkeypatch.setattr(FolderStore, "add", counted)
    rates = (0.5, 1.0)
    model = hypermodel(rates=rates)
    tuner = search(keras_tuner.GridSearch, model)
    found = model.results(tuner)
    assert [row["rate"] for row in found] == list(rates)
    assert {row["status"] for row in found} == {"COMPLETED"}
    assert all(0 <= row["score"] <= 1 for row in found)
    # One teacher pass: every row of the one view, of validation and of test
    # was computed once, and no trial had a teacher to compute more.
    assert len(set(rows)) == len(rows)
    assert len(rows) == sum(model.data.sizes.values())
    assert model.prepare().teacher.weights == []
    assert len(list(tmp_path.glob("cache/paraphrasers/*/"))) == len(rates)
    _check_best(model, tuner)


def _check_best(model, tuner):
    """What tuner and hypermodel hand out is the student as it was scored."""
    best = tuner.oracle.get_best_trials(1)[0]
    (student,) = tuner.get_best_models(1)
    assert not isinstance(student, Distiller)
    logs = student.evaluate(model.data.validation, verbose=0, return_dict=True)
    assert logs["accuracy"] == pytest.approx(best.score, abs=1e-6)
    for mine, theirs in zip(
        student.get_weights(),
        model.best_student(tuner).get_weights(),
        strict=True,
    ):
        np.testing.assert_array_equal(mine, theirs)
    with h5py.File(tuner._get_checkpoint_fname(best.trial_id)) as file:
        names = []
        file.visit(names.append)
    assert any("conv2d" in name for name in names)
    assert not any("para" in name or "trans" in name for name in names)


def test_a_rate_that_fails_does_not_stop_the_search(hypermodel, search):
    model = hypermodel(rates=(0.001, 0.5), betas=(1.0, 1e30))
    tuner = search(
        keras_tuner.GridSearch, model, max_consecutive_failed_trials=9
    )
    found = model.results(tuner)
    assert len(found) == 4
    for row in found:
        fails = row["rate"] == 0.001 or row["beta"] == 1e30
        assert row["status"] == ("FAILED" if fails else "COMPLETED")
        if row["rate"] == 0.001:
            assert "leaves 0 of 12 channels" in row["message"]
        elif fails:
            assert "`loss`" in row["message"]
    assert model.best_student(tuner).output_shape == (None, 10)


def test_without_a_completed_trial_there_is_no_best_one(hypermodel, search):
    model = hypermodel(rates=(0.001,))
    tuner = search(keras_tuner.GridSearch, model)
    with pytest.raises(InputError, match="without a completed trial"):
        model.best_student(tuner)


@pytest.mark.long
def test_hyperband_goes_on_where_a_shorter_trial_ended(
    hypermodel, search, tmp_path
):
    recipe = Recipe.preset("official").short(1, 3)
    model = hypermodel(recipe=recipe, rates=RATES)
    tuner = search(keras_tuner.Hyperband, model, max_epochs=3, factor=3)
    assert statuses(tuner) == {"COMPLETED"}
    longer = [
        trial
        for trial in tuner.oracle.trials.values()
        if trial.hyperparameters.values.get("tuner/initial_epoch")
    ]
    assert longer
    # The same as three epochs at once.
    values = longer[0].hyperparameters.values
    other = type(model)(
        model.teacher,
        model._trials.student_source,
        model.data,
        tmp_path / "another cache",
        rates=(values["rate"],),
        recipe=recipe,
        views=1,
        echo=None,
    )
    whole = search(keras_tuner.GridSearch, other, "whole")
    (trial,) = whole.oracle.trials.values()
    assert trial.score == longer[0].score
    _check_best(model, tuner)


@pytest.mark.parametrize(
    "kind",
    [
        keras_tuner.RandomSearch,
        # tests/tuner/test_tune.py has it, through the command.
        pytest.param(keras_tuner.BayesianOptimization, marks=pytest.mark.long),
    ],
)
def test_other_tuners_and_other_parameters(hypermodel, search, kind):
    model = hypermodel(
        betas=LogRange(10, 1000),
        ps=(1, 2),
        learning_rates=(0.01, 0.1),
        temperatures=(2.0, 4.0),
        kd_weights=LogRange(0.1, 1),
        recipe=Recipe.preset("official").short(1, 1),
    )
    objective = keras_tuner.Objective("val_task_loss", "min")
    tuner = search(kind, model, max_trials=2, objective=objective)
    assert statuses(tuner) == {"COMPLETED"}
    found = model.results(tuner)
    assert len(found) == 2
    assert {row["p"] for row in found} <= {1, 2}
    assert all(row["score"] > 0 for row in found)


@pytest.mark.parametrize(
    ("method", "expected", "field"),
    [
        ("skd", "skd", "skd_temperature"),
        ("ft+dkd", "ft+dkd", "dkd_temperature"),
        ("ft", "ft+kd", "kd_temperature"),
    ],
)
def test_a_temperature_is_that_of_the_methods_soft_targets(
    hypermodel, search, monkeypatch, method, expected, field
):
    asked, build = [], methods.build

    def noted(name, recipe, *arguments, **keywords):
        asked.append((name, getattr(recipe, field)))
        return build(name, recipe, *arguments, **keywords)

    monkeypatch.setattr(methods, "build", noted)
    model = hypermodel(
        method=method,
        rates=None,
        temperatures=(1.5, 6.0),
        recipe=Recipe.preset("official").short(1, 1),
    )
    tuner = search(keras_tuner.GridSearch, model)
    assert statuses(tuner) == {"COMPLETED"}
    assert {(expected, 1.5), (expected, 6.0)} <= set(asked)


def test_kds_weight_is_not_that_of_other_soft_targets(hypermodel):
    with pytest.raises(InputError, match="kd_weights") as caught:
        hypermodel(method="ft+skd", kd_weights=(0.5, 0.9))
    assert "method='ft+skd'" in str(caught.value)


@pytest.mark.long
def test_a_parameter_that_some_trials_do_not_have(hypermodel, search, teacher):
    def student(hp):
        if hp.Boolean("deep"):
            hp.Int("extra", 1, 1, parent_name="deep", parent_values=[True])
        return keras.models.clone_model(teacher)

    model = hypermodel(rates=None, betas=(1.0, 2.0), student=student)
    found = model.results(search(keras_tuner.GridSearch, model))
    assert {row["status"] for row in found} == {"COMPLETED"}
    names = {frozenset(row) for row in found}
    assert len(names) == 1 and {"deep", "extra"} < set(*names)
    assert {row["extra"] is None for row in found} == {True, False}


def test_executions_start_from_different_weights(hypermodel, search, fits):
    model = hypermodel(rates=(0.5,))
    tuner = search(keras_tuner.GridSearch, model, executions_per_trial=2)
    assert fits.count("FactorTransfer") == 2
    (trial,) = tuner.oracle.trials.values()
    folders = [
        model._trials.folder_of(
            model.prepare(), trial.hyperparameters, "val_accuracy", execution
        )
        for execution in range(2)
    ]
    rows = [folder.rows(2)[0]["task_loss"] for folder in folders]
    assert rows[0] != rows[1]
    scores = [
        max(row["val_accuracy"] for row in folder.rows(2)) for folder in folders
    ]
    assert trial.score == pytest.approx(np.mean(scores))


def test_callbacks_of_the_user_see_phase_2(hypermodel, search, tmp_path):
    model = hypermodel(rates=(0.5,))
    tuner = keras_tuner.GridSearch(
        model, objective="val_accuracy", directory=tmp_path / "search"
    )
    path = tmp_path / "log.csv"
    tuner.search(verbose=0, callbacks=[keras.callbacks.CSVLogger(path)])
    header, *lines = path.read_text().splitlines()
    assert len(lines) == 2 and "factor_loss" in header


@pytest.mark.parametrize(
    ("objective", "received"),
    [
        ("val_loss", "val_loss"),
        (keras_tuner.Objective("val_accuracy", "min"), "min"),
        (["val_loss", "val_accuracy"], "multi_objective"),
        (None, "default_objective"),
    ],
)
def test_misleading_objectives_are_refused_before_anything_runs(
    hypermodel, search, fits, tmp_path, objective, received
):
    with pytest.raises(SearchError, match=received) as caught:
        search(keras_tuner.GridSearch, hypermodel(), objective=objective)
    assert isinstance(caught.value, InputError)
    assert not fits and not (tmp_path / "cache").exists()


def test_what_the_recipe_decides_is_refused(hypermodel, search):
    with pytest.raises(SearchError, match="`optimizer`"):
        search(keras_tuner.GridSearch, hypermodel(), optimizer="adam")
    with pytest.raises(SearchError, match="`epochs`"):
        search(keras_tuner.GridSearch, hypermodel(), epochs=3)


def test_another_search_in_the_same_features_is_refused(hypermodel, search):
    search(keras_tuner.GridSearch, hypermodel(rates=(0.5,)))
    with pytest.raises(SearchError, match="dtype"):
        search(keras_tuner.GridSearch, hypermodel(dtype="float32"))
