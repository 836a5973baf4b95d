"""Start the same command N times on this machine, as N workers of a cluster.

    python examples/launch_workers.py --workers=2 -- \\
        keras-ft distill --strategy=multi_worker --run_dir=runs/two

Each process gets its own TF_CONFIG. When one fails, the others stop by
themselves within seconds; with --restarts=3 all of them are started again up
to three times and continue at the last complete epoch. On several machines a
cluster manager does the same with TF_CONFIG on each of them.
"""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from absl import app
from absl import flags

WORKERS = flags.DEFINE_integer("workers", 2, "Processes.", lower_bound=1)
RESTARTS = flags.DEFINE_integer(
    "restarts", 0, "Times to start all again after a failure.", lower_bound=0
)


def free_ports(count: int) -> list[int]:
    """Return ports nobody listens on, all different."""
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def start(command: Sequence[str], workers: int) -> list[subprocess.Popen]:
    """Return the processes; the first one is the chief."""
    hosts = [f"localhost:{port}" for port in free_ports(workers)]
    processes = []
    for index in range(workers):
        config = {
            "cluster": {"worker": hosts},
            "task": {"type": "worker", "index": index},
        }
        environment = {**os.environ, "TF_CONFIG": json.dumps(config)}
        processes.append(subprocess.Popen(command, env=environment))
    return processes


def main(arguments: list[str]) -> None:
    command = arguments[1:]
    if not command:
        raise app.UsageError("Give a command: -- keras-ft distill ...")
    for attempt in range(RESTARTS.value + 1):
        codes = [each.wait() for each in start(command, WORKERS.value)]
        if not any(codes):
            return
        print(f"attempt {attempt + 1}: exit codes {codes}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    app.run(main)
