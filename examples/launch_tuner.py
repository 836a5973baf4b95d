"""Start the same search N + 1 times on this machine: a chief and N workers.

    python examples/launch_tuner.py --workers=2 -- \\
        keras-ft tune --run_dir=runs/together --epochs=6

Each process gets keras-tuner's own variables. The chief hands out the trials
and writes the results; the workers train, and share features and paraphrasers
in the run folder. When one fails the others are ended; run the same again and
no finished trial is trained twice. On several machines a cluster manager sets
the same variables, with a folder that all of them reach. A grid or a random
search finds what one process finds that has as many threads
(TF_NUM_INTRAOP_THREADS); Bayesian and Hyperband ask by what is finished, and so
for other trials. The chief ends up to 20 seconds after the last trial; that is
keras-tuner's. Its workers give up after an hour without a chief, which first
runs the teacher: where that takes longer, start again and all is there.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Sequence

from absl import app
from absl import flags

WORKERS = flags.DEFINE_integer("workers", 2, "Beside the chief.", lower_bound=1)
THREADS = flags.DEFINE_integer(
    "threads",
    None,
    "Of TensorFlow in each worker; by default the cores are shared out.",
    lower_bound=1,
)
PATIENCE = 30  # seconds, for workers whose chief has ended


def free_port() -> int:
    """Return a port nobody listens on."""
    with socket.create_server(("localhost", 0)) as server:
        return int(server.getsockname()[1])


def start(command: Sequence[str], workers: int) -> list[subprocess.Popen]:
    """Return the processes; the first one is the chief."""
    threads = THREADS.value or max(1, (os.cpu_count() or 1) // workers)
    shared = {
        "KERASTUNER_ORACLE_IP": "localhost",
        "KERASTUNER_ORACLE_PORT": str(free_port()),
        "TF_NUM_INTRAOP_THREADS": str(threads),
    }
    names = ["chief", *(f"worker{number}" for number in range(workers))]
    return [
        subprocess.Popen(
            command,
            env={**os.environ, **shared, "KERASTUNER_TUNER_ID": name},
        )
        for name in names
    ]


def wait(processes: Sequence[subprocess.Popen]) -> int:
    """Return 0 when all have ended well; else the first other code seen."""
    last = None
    while True:
        codes = [process.poll() for process in processes]
        bad = [code for code in codes if code]
        if bad:
            return bad[0]
        if None not in codes:
            return 0
        if codes[0] == 0:
            # A worker that starts after the chief has left waits an hour.
            last = last or time.monotonic() + PATIENCE
            if time.monotonic() > last:
                return 0
        time.sleep(0.2)


def stop(signum: int, _: object) -> None:
    """End the chief and the workers as well."""
    sys.exit(128 + signum)


def main(arguments: list[str]) -> None:
    command = arguments[1:]
    if not command:
        raise app.UsageError("Give a command: -- keras-ft tune ...")
    signal.signal(signal.SIGTERM, stop)
    processes = start(command, WORKERS.value)
    try:
        code = wait(processes)
    finally:
        for process in processes:
            process.terminate()
    sys.exit(code)


if __name__ == "__main__":
    app.run(main)
