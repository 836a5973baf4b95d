"""Any metric may be what a search is about."""

import keras
import keras_tuner
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft.tuner import SearchError

pytestmark = [
    # keras-tuner asks for the thread's name in an old way.
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]


@keras.saving.register_keras_serializable("tests")
class MacroF1(keras.metrics.F1Score):
    """The mean F1 of ten classes, of class indices and logits."""

    def __init__(self, name="f1", **kwargs):
        super().__init__(average="macro", name=name)

    def update_state(self, y_true, y_pred, sample_weight=None):
        rows = keras.ops.one_hot(keras.ops.reshape(y_true, (-1,)), 10)
        super().update_state(rows, keras.ops.softmax(y_pred), sample_weight)

    def get_config(self):
        return {"name": self.name}


@pytest.mark.long
def test_a_search_by_f1_hands_out_the_student_that_is_best_by_it(
    hypermodel, search
):
    metrics = [MacroF1()]
    model = hypermodel(rates=(0.5,), metrics=metrics)
    objective = keras_tuner.Objective("val_f1", "max")
    tuner = search(keras_tuner.GridSearch, model, objective=objective)
    (row,) = model.results(tuner)
    student = model.best_student(tuner)
    logits = student.predict(model.data.validation, verbose=0)
    labels = np.concatenate([y for _, y in model.data.validation])
    found = logits.argmax(axis=1)
    scores = []
    for label in range(10):
        right = np.sum((found == label) & (labels == label))
        counted = np.sum(found == label) + np.sum(labels == label)
        scores.append(2 * right / max(counted, 1))
    assert row["status"] == "COMPLETED" and row["score"] > 0
    assert row["score"] == pytest.approx(np.mean(scores), abs=1e-5)
    # What was handed in is a pattern: it has seen nothing.
    assert not metrics[0].variables


def test_an_objective_that_is_not_watched_is_refused(hypermodel, search, fits):
    model = hypermodel(metrics=[MacroF1()])
    objective = keras_tuner.Objective("val_auc", "max")
    with pytest.raises(SearchError, match="val_auc.*val_f1"):
        search(keras_tuner.GridSearch, model, objective=objective)
    assert not fits


@pytest.mark.parametrize(
    "metrics", [["AUC"], [MacroF1(), MacroF1()], [MacroF1("accuracy")]]
)
def test_metrics_that_cannot_be_told_apart_are_refused(hypermodel, metrics):
    with pytest.raises(InputError, match="Invalid `metrics`"):
        hypermodel(metrics=metrics)
