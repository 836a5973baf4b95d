"""Workers killed at random moments: the rest stops, all continue exactly."""

import random
import signal
import time

import pytest

from keras_ft import artifacts

EPOCHS, KILLS = 60, 10
# TensorFlow takes a worker that is silent for ten seconds for dead; on a
# machine with other work to do that takes longer.
PATIENCE = 60


def epochs_done(folder):
    """Of all processes so far, as the checkpoint has it."""
    state = folder / "state.json"
    if not state.exists():
        return 0
    return len(artifacts.read_json(state, sealed=True)["rows"])


def wait_for_an_epoch(workers, folder, before):
    """Until the checkpoint holds more epochs than before."""
    while epochs_done(folder) <= before:
        for index, process in enumerate(workers.processes):
            assert process.poll() is None, workers.text(index)[-2000:]
        time.sleep(0.02)


@pytest.mark.slow
@pytest.mark.cell("worker killed or frozen", "resumes", "multi_worker.fit")
def test_ten_kills_and_recoveries_end_with_the_same_weights(start, tmp_path):
    draw = random.Random(0)
    folder = tmp_path / "checkpoint"
    for kill in range(KILLS):
        before = epochs_done(folder)
        workers = start(EPOCHS, folder, "noisy")
        wait_for_an_epoch(workers, folder, before)
        time.sleep(draw.uniform(0.0, 1.0))
        victim = draw.choice((0, 1))
        # A frozen machine is found out by its silence.
        how = signal.SIGSTOP if kill == KILLS - 1 else signal.SIGKILL
        workers.processes[victim].send_signal(how)
        killed = time.monotonic()
        assert workers.wait(1 - victim, PATIENCE) == 1
        text = workers.text(1 - victim)
        assert "WorkerLostError: Another worker stopped" in text
        assert "Start all workers again: they continue after" in text
        print(
            f"kill {kill}: worker {victim} in epoch {epochs_done(folder) + 1};"
            f" the other stopped after {time.monotonic() - killed:.1f} s"
        )
        workers.kill()
    assert epochs_done(folder) < EPOCHS
    resumed = start(EPOCHS, folder, "noisy").results()
    whole = start(EPOCHS, tmp_path / "whole", "noisy").results()
    assert resumed[0]["digest"] == whole[0]["digest"]
    assert resumed[0]["history"] == whole[0]["history"]
    assert resumed[1] == resumed[0]
