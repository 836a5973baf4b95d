import keras
import numpy as np
import pytest

from keras_ft import InputError
from keras_ft import artifacts
from keras_ft.tuner.trial_folder import TrialFolder


@pytest.fixture
def student():
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])


def train(folder, student, values):
    """Epochs with these values of the objective, one weight for each."""
    rows = []
    for epoch, value in enumerate(values, start=1):
        student.layers[0].bias.assign([epoch])
        folder.save_if_best(student, {folder.objective: value})
        rows.append({"epoch": epoch, "seconds": 1.0, folder.objective: value})
        # What a training commits after each epoch.
        state = {"weights": "w", "sha256": "", "seeds": [], "rows": rows}
        path = folder.path / "checkpoints" / "distill" / "state.json"
        artifacts.write_json(path, state, sealed=True)
    return rows


def bias(student, path):
    student.load_weights(path)
    return np.asarray(student.layers[0].bias).tolist()


@pytest.mark.parametrize(
    ("objective", "best"), [("val_accuracy", 2), ("val_task_loss", 3)]
)
def test_the_first_of_the_best_epochs_is_kept(
    tmp_path, student, objective, best
):
    folder = TrialFolder(tmp_path, objective)
    rows = train(folder, student, [0.5, 0.7, 0.2, 0.7, 0.2])
    folder.finish(rows, 5, keep_state=False)
    again = TrialFolder(tmp_path, objective)
    assert again.has(5) and not again.has(6)
    assert again.best(5) == best
    assert bias(student, again.best_weights(5)) == [best]


def test_a_shorter_trial_has_its_best_student(tmp_path, student):
    folder = TrialFolder(tmp_path, "val_accuracy")
    folder.finish(
        train(folder, student, [0.5, 0.4, 0.6, 0.1, 0.7]), 5, keep_state=False
    )
    folder = TrialFolder(tmp_path, "val_accuracy")
    for epochs, best in enumerate((1, 1, 3, 3, 5), start=1):
        assert folder.has(epochs) and folder.best(epochs) == best
        assert bias(student, folder.best_weights(epochs)) == [best]
    # Nothing else is kept.
    assert len(list(tmp_path.glob("student-*"))) == 3


def test_a_failure_takes_nothing_from_a_shorter_trial(tmp_path, student):
    folder = TrialFolder(tmp_path, "val_accuracy")
    folder.finish(train(folder, student, [0.5, 0.6]), 2, keep_state=True)
    folder.fail("diverged in epoch 4")
    again = TrialFolder(tmp_path, "val_accuracy")
    assert again.has(2) and again.best(2) == 2 and not again.has(4)
    assert again.failure == "diverged in epoch 4"


def test_a_student_that_was_deleted_is_not_there(tmp_path, student):
    folder = TrialFolder(tmp_path, "val_accuracy")
    folder.finish(train(folder, student, [0.5, 0.6]), 2, keep_state=False)
    next(tmp_path.glob("student-0002*")).unlink()
    again = TrialFolder(tmp_path, "val_accuracy")
    assert again.has(1) and not again.has(2)


def test_a_trial_that_stopped_by_itself_has_every_length(tmp_path, student):
    folder = TrialFolder(tmp_path, "val_accuracy")
    folder.finish(train(folder, student, [0.5]), 9, keep_state=False)
    assert TrialFolder(tmp_path, "val_accuracy").has(9)


def test_a_failure_is_remembered(tmp_path):
    TrialFolder(tmp_path / "new", "val_accuracy").fail("too large")
    folder = TrialFolder(tmp_path / "new", "val_accuracy")
    assert folder.failure == "too large" and not folder.has(1)


def test_an_objective_that_is_never_finite_is_refused(tmp_path, student):
    folder = TrialFolder(tmp_path, "val_task_loss")
    rows = train(folder, student, [float("inf")])
    with pytest.raises(InputError, match="val_task_loss"):
        folder.finish(rows, 1, keep_state=False)
