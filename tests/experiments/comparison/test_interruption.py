import pytest

import keras_ft
from keras_ft.experiments.comparison import trainings


def test_ctrl_c_passes_and_what_was_done_stays(tmp_path, toy, monkeypatch):
    wrap, folders = trainings.wrapped, []

    def wrapped(method, *arguments):
        folders.append(method.name)
        if len(folders) == 2:
            raise KeyboardInterrupt
        return wrap(method, *arguments)

    monkeypatch.setattr(trainings, "wrapped", wrapped)
    few = toy | {"methods": ["none", "kd"], "seeds": 1}
    with pytest.raises(KeyboardInterrupt):
        keras_ft.compare(tmp_path, **few)
    assert not (tmp_path / "comparison.json").exists()
    found = keras_ft.compare(tmp_path, **few)
    assert folders == ["none", "kd", "kd"] and not found.failures


@pytest.mark.slow
@pytest.mark.long
def test_trainings_in_processes_of_their_own(tmp_path, toy):
    lines = []
    settings = toy | {"methods": ["none", "ft"], "seeds": 1}
    found = keras_ft.compare(
        tmp_path, isolate=True, echo=lines.append, **settings
    )
    assert not found.failures
    assert found.trainings[0].initial_weights == (
        found.trainings[1].initial_weights
    )
    assert any(line.startswith("ft, seed 0: student") for line in lines)
    assert found.trainings[1].paraphrase_seconds > 0


@pytest.mark.slow
def test_a_process_that_cannot_train_is_a_failure_with_a_reason(tmp_path, toy):
    # A folder stands where the training wants its file.
    (tmp_path / "none-seed0" / "run.json").mkdir(parents=True)
    settings = toy | {"methods": ["none"], "seeds": 1, "isolate": True}
    found = keras_ft.compare(tmp_path, **settings)
    (failed,) = found.failures
    assert "none-seed0" in failed.reason or "run.json" in failed.reason
