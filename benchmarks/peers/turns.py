"""Contenders in processes of their own, which take turns."""

import json
import os
import random
import select
import subprocess
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
QUIET = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    # Processors only, also where there is a GPU.
    "CUDA_VISIBLE_DEVICES": "-1",
    # As `keras-ft` sets it.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


class Failed(Exception):
    """A contender that cannot go on; the message says why."""


class Child:
    """One contender's process, ready to run steps on command.

    Args:
        name: The contender's.
        python: The interpreter of its environment.
        task: What child.py is to do.
        patience: Seconds to wait for any answer.
        wait_policy: OMP_WAIT_POLICY of the process; None leaves it unset.
        log: Where its errors go.

    Raises:
        Failed: It did not get ready.
    """

    def __init__(self, name, python, task, patience, wait_policy, log):
        if not Path(python).exists():
            raise Failed("no PyTorch environment: make install-torch")
        environment = {**os.environ, **QUIET}
        if wait_policy:
            environment["OMP_WAIT_POLICY"] = wait_policy
        self.name = name
        self.patience = patience
        with open(log, "wb") as errors:
            self.process = subprocess.Popen(
                [python, str(HERE / "child.py"), json.dumps(task)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
                bufsize=0,
                env=environment,
            )
        self.facts = self._answer()["ready"]

    def run(self, steps):
        """Return seconds for one step and for that many; peak memory in MB."""
        try:
            self.process.stdin.write(b"%d\n" % steps)
        except OSError as error:
            raise Failed(f"the process is gone: {error}") from error
        answer = self._answer()
        return answer["one"], answer["many"], answer["peak_mb"]

    def processor_seconds(self):
        """Return what the process and its threads have computed so far."""
        try:
            text = Path(f"/proc/{self.process.pid}/stat").read_text()
        except OSError:
            return 0.0
        user, system = text.rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / TICKS

    def end(self):
        self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def _answer(self):
        stream = self.process.stdout
        if not select.select([stream], [], [], self.patience)[0]:
            self.end()
            raise Failed(f"no answer within {self.patience} s")
        line = stream.readline()
        if not line:
            self.end()
            code = self.process.returncode
            raise Failed(f"the process ended with exit status {code}")
        answer = json.loads(line)
        if "failed" in answer:
            self.end()
            raise Failed(answer["failed"])
        return answer


class Match:
    """All contenders of a table: starts them, lets them take turns.

    Args:
        start: From a contender's name to its `Child`.
        names: The contenders'.
        say: Takes lines of text.

    Attributes:
        times: Seconds of one step and of many in each turn, by contender;
            None where it failed.
        facts: What each told when it was ready.
        failed: Reasons, by contender.
        peak_mb: Peak memory of each so far.
    """

    def __init__(self, start, names, say=print):
        self.say = say
        self.children, self.facts = {}, {}
        self.failed, self.peak_mb = {}, {}
        for name in names:
            began = time.perf_counter()
            try:
                self.children[name] = start(name)
            except Failed as failure:
                self._failed(name, failure)
                continue
            self.facts[name] = self.children[name].facts
            self.say(f"{name}: started in {time.perf_counter() - began:.0f} s")
        self.times = {name: [] for name in names}
        self.waiting = {name: [0.0, 0.0] for name in names}
        self.others = [0.0, 0.0]

    def warm_up(self, rounds, steps):
        """Play rounds that are forgotten."""
        self.play(rounds, steps)
        self.times = {name: [] for name in self.times}
        self.waiting = {name: [0.0, 0.0] for name in self.waiting}

    def play(self, rounds, steps):
        """Play rounds in which each has one turn, in a new order each time."""
        shuffled = random.Random(0)
        began, busy = time.perf_counter(), busy_seconds()
        own = sum(self._processor_seconds().values())
        for number in range(1, rounds + 1):
            names = sorted(self.children)
            for name in shuffled.sample(names, len(names)):
                self.times[name].append(self._turn(name, steps))
            passed = time.perf_counter() - began
            self.say(f"round {number} of {rounds}, {passed:.0f} s so far")
        own = sum(self._processor_seconds().values()) - own
        passed = time.perf_counter() - began
        self.others = [busy_seconds() - busy - own, passed * os.cpu_count()]

    def _turn(self, name, steps):
        before = self._processor_seconds()
        began = time.perf_counter()
        try:
            *seconds, self.peak_mb[name] = self.children[name].run(steps)
        except Failed as failure:
            self._failed(name, failure)
            self.children.pop(name)
            return None
        passed = time.perf_counter() - began
        after = self._processor_seconds()
        for other in self.children:
            if other != name:
                self.waiting[other][0] += after[other] - before[other]
                self.waiting[other][1] += passed
        return seconds

    def _failed(self, name, failure):
        self.failed[name] = str(failure)
        self.say(f"{name} failed: {failure}")

    def _processor_seconds(self):
        return {
            name: child.processor_seconds()
            for name, child in self.children.items()
        }

    def idle_share(self):
        """Return the share of a core that each used while others computed."""
        return {
            name: used / passed
            for name, (used, passed) in self.waiting.items()
            if passed
        }

    def others_share(self):
        """Return the share of all cores that other processes used."""
        used, available = self.others
        return max(0.0, used) / available if available else 0.0

    def drop(self, name, reason):
        """Take one out, with the reason for its row."""
        self._failed(name, reason)
        self.children.pop(name).end()

    def end(self):
        for child in self.children.values():
            child.end()


def busy_seconds():
    """Return what all cores of the machine have computed since it started."""
    with open("/proc/stat") as stream:
        user, nice, system, _, _, *more = map(
            int, stream.readline().split()[1:]
        )
    interrupts_and_stolen = sum(more[:3])
    return (user + nice + system + interrupts_and_stolen) / TICKS
