import os
import signal
import subprocess
import sys
import threading

from keras_ft.tuner.lock import locked

HOLD = """
import sys, time
from pathlib import Path
from keras_ft.tuner.lock import locked
with locked(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_one_waits_for_the_other(tmp_path):
    path, order = tmp_path / "new folder" / "it.lock", []

    def second():
        with locked(path):
            order.append("second")

    with locked(path):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join(timeout=0.3)
        assert thread.is_alive()
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_a_killed_holder_blocks_nobody(tmp_path, root):
    path = tmp_path / "it.lock"
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, path],
        cwd=root,
        stdout=subprocess.PIPE,
        text=True,
    )
    with holder.stdout:
        assert holder.stdout.readline() == "held\n"
        os.kill(holder.pid, signal.SIGKILL)
        holder.wait()
    with locked(path):
        pass
