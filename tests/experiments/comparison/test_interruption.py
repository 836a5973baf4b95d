import os
import pickle
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import keras_ft
from keras_ft.experiments.comparison import trainings

CODE = """
import pickle, sys
import keras_ft
folder, settings = sys.argv[1], pickle.loads(bytes.fromhex(sys.argv[2]))
keras_ft.compare(folder, **settings)
"""


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
def test_killed_and_started_again_it_ends_the_same(tmp_path, toy, root):
    settings = toy | {"methods": ["none", "kd"], "seeds": 2}
    settings["recipe"] = keras_ft.Recipe.preset("official").short(1, 6)
    words = [sys.executable, "-c", CODE]
    packed = pickle.dumps(settings).hex()

    def start(name):
        return subprocess.Popen(
            [*words, str(tmp_path / name), packed],
            cwd=root,
            env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        )

    assert start("whole").wait() == 0
    killed = start("killed")
    # Within the second training of the first seed.
    while not (tmp_path / "killed/kd-seed0/history/student.csv").exists():
        assert killed.poll() is None
        time.sleep(0.01)
    os.kill(killed.pid, signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    done = tmp_path / "killed/none-seed0/student.keras"
    before = done.stat().st_mtime_ns
    assert start("killed").wait() == 0
    assert done.stat().st_mtime_ns == before
    for name in ("none-seed0", "kd-seed0", "none-seed1", "kd-seed1"):
        whole, again = (
            keras.models.load_model(tmp_path / run / name / "student.keras")
            for run in ("whole", "killed")
        )
        for mine, known in zip(again.weights, whole.weights, strict=True):
            np.testing.assert_array_equal(mine, known)


@pytest.mark.slow
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
