"""`examples/launch_tuner.py` with processes that are no search."""

import signal
import subprocess
import sys
import time

import pytest

# Each process says by a file of its name that it has begun, and that it was
# ended from outside.
WAITS = (
    "trap 'touch $0/$KERASTUNER_TUNER_ID.ended; exit' TERM; "
    "touch $0/$KERASTUNER_TUNER_ID.begun; "
    "while true; do sleep 0.05; done"
)
PATIENT = """
import launch_tuner
from absl import app
launch_tuner.PATIENCE = 0.5
app.run(launch_tuner.main)
"""


@pytest.fixture
def launch(root, tmp_path):
    """Starts the launcher with a shell's text for each of its processes."""
    processes = []

    def started(text):
        process = subprocess.Popen(
            [sys.executable, "-c", PATIENT, "--workers=2", "--"]
            + ["sh", "-c", text, str(tmp_path)],
            cwd=root / "examples",
        )
        processes.append(process)
        return process

    yield started
    for process in processes:
        process.terminate()


def wait_for(folder, *names):
    deadline = time.monotonic() + 60
    while not all((folder / name).exists() for name in names):
        assert time.monotonic() < deadline, list(folder.iterdir())
        time.sleep(0.02)


def test_all_end_well(launch):
    text = "test $KERASTUNER_ORACLE_IP = localhost"
    assert launch(text).wait(timeout=60) == 0


@pytest.mark.parametrize(
    ("leaver", "code", "others"),
    [
        # One fails.
        ("worker0", 3, ("chief", "worker1")),
        # The workers outstay their chief.
        ("chief", 0, ("worker0", "worker1")),
    ],
)
def test_the_others_are_ended(launch, tmp_path, leaver, code, others):
    first, second = others
    leaves = (
        f"while ! [ -e $0/{first}.begun -a -e $0/{second}.begun ]; "
        f"do sleep 0.05; done; exit {code}"
    )
    text = f"if [ $KERASTUNER_TUNER_ID = {leaver} ]; then {leaves}; fi; {WAITS}"
    assert launch(text).wait(timeout=60) == code
    wait_for(tmp_path, *(f"{name}.ended" for name in others))


def test_who_ends_the_launcher_ends_all(launch, tmp_path):
    process = launch(WAITS)
    names = ("chief", "worker0", "worker1")
    wait_for(tmp_path, *(f"{name}.begun" for name in names))
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=60) == 128 + signal.SIGTERM
    wait_for(tmp_path, *(f"{name}.ended" for name in names))
