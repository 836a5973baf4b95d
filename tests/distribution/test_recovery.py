"""Workers are killed: the rest stops, and all continue exactly."""

import random
import signal
import time

import pytest

from keras_ft import artifacts

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


def killed_at_random(kills):
    """Who is killed, how, and so many seconds after an epoch."""
    draw = random.Random(0)
    for kill in range(kills):
        how = signal.SIGSTOP if kill == kills - 1 else signal.SIGKILL
        seconds = draw.uniform(0.0, 1.0)
        yield draw.choice((0, 1)), how, seconds


# The chief, another worker, and a frozen machine, found out by its silence.
EACH_KIND = [
    (0, signal.SIGKILL, 0.0),
    (1, signal.SIGKILL, 0.0),
    (1, signal.SIGSTOP, 0.0),
]


@pytest.mark.long
@pytest.mark.cell("worker killed or frozen", "resumes", "multi_worker.fit")
@pytest.mark.parametrize(
    ("epochs", "kills"),
    [
        pytest.param(20, EACH_KIND, id="one of each kind"),
        pytest.param(60, [*killed_at_random(10)], id="ten"),
    ],
)
def test_kills_and_recoveries_end_with_the_same_weights(
    start, tmp_path, epochs, kills
):
    folder = tmp_path / "checkpoint"
    for victim, how, seconds in kills:
        before = epochs_done(folder)
        workers = start(epochs, folder, "noisy")
        wait_for_an_epoch(workers, folder, before)
        time.sleep(seconds)
        workers.processes[victim].send_signal(how)
        killed = time.monotonic()
        assert workers.wait(1 - victim, PATIENCE) == 1
        text = workers.text(1 - victim)
        assert "WorkerLostError: Another worker stopped" in text
        assert "Start all workers again: they continue after" in text
        print(
            f"worker {victim} in epoch {epochs_done(folder) + 1}; the other "
            f"stopped after {time.monotonic() - killed:.1f} s"
        )
        workers.kill()
    assert epochs_done(folder) < epochs
    resumed = start(epochs, folder, "noisy").results()
    whole = start(epochs, tmp_path / "whole", "noisy").results()
    assert resumed[0]["digest"] == whole[0]["digest"]
    assert resumed[0]["history"] == whole[0]["history"]
    assert resumed[1] == resumed[0]
