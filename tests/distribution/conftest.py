"""Starts worker processes on loopback."""

import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("train.py")


def free_hosts(count):
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]
    hosts = [f"localhost:{each.getsockname()[1]}" for each in sockets]
    for each in sockets:
        each.close()
    return hosts


class Workers:
    """Processes of one training, the chief first; output in files."""

    def __init__(self, folder, *arguments, count=2, script=SCRIPT):
        hosts = free_hosts(count)
        self.outputs, self.processes = [], []
        folder.mkdir(exist_ok=True)
        for index in range(count):
            task = {"type": "worker", "index": index}
            config = {"cluster": {"worker": hosts}, "task": task}
            path = folder / f"worker{index}.txt"
            with open(path, "w") as file:
                process = subprocess.Popen(
                    [sys.executable, str(script), *map(str, arguments)],
                    env={
                        **os.environ,
                        "TF_CONFIG": json.dumps(config),
                        # A worker that hangs shows where, see `wait`.
                        "PYTHONFAULTHANDLER": "1",
                    },
                    stdout=file,
                    stderr=subprocess.STDOUT,
                )
            self.outputs.append(path)
            self.processes.append(process)

    def wait(self, index, seconds=120):
        """A worker's exit code; one that hangs ends with its stack."""
        process = self.processes[index]
        try:
            return process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGABRT)
            process.wait()
            raise AssertionError(self.text(index)[-6000:]) from None

    def text(self, index):
        return self.outputs[index].read_text()

    def results(self):
        """What every worker printed, after all of them ended well."""
        codes = [self.wait(index) for index in range(len(self.processes))]
        assert codes == [0] * len(codes), [
            self.text(index)[-2000:] for index in range(len(codes))
        ]
        return [
            json.loads(self.text(index).splitlines()[-1])
            for index in range(len(codes))
        ]

    def kill(self):
        for process in self.processes:
            process.kill()
            process.wait()


@pytest.fixture
def start(tmp_path):
    """Starts workers; those still running at the end are killed."""
    started = []

    def start(*arguments, **more):
        folder = tmp_path / f"output{len(started)}"
        started.append(Workers(folder, *arguments, **more))
        return started[-1]

    yield start
    for workers in started:
        workers.kill()


@pytest.fixture
def script():
    """The program of a worker."""
    return SCRIPT
