"""Does a step of a comparison so that its failure stops no other."""

import contextlib
import logging
import os
import pickle
import subprocess
import sys
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.experiments.comparison.bench import Bench
from keras_ft.experiments.comparison.trainings import Trainings
from keras_ft.experiments.progress import Echo

REASON, JOB = "reason.txt", "job.pickle"
CHILD = "keras_ft.experiments.comparison.child"


class Attempts:
    """Runs steps of `Trainings`, here or each in a process of its own.

    Args:
        trainings: What the steps are of.
        isolate: Starts a process per step: its memory is all its own, and
            not even the system's out-of-memory killer stops the others.
            Costs the start of TensorFlow each time.

    Example:

    >>> attempts = Attempts(trainings, isolate=False)
    >>> attempts.reason("student", seed=0, method="ft")  # None: it went well
    """

    def __init__(self, trainings: Trainings, isolate: bool) -> None:
        self._trainings = trainings
        self._isolate = isolate

    def reason(
        self, step: str, seed: int, method: str | None = None
    ) -> str | None:
        """Does a step.

        Args:
            step: Name of a method of `Trainings`.
            seed, method: Its arguments.

        Returns:
            Why it failed; `None` if it did not.
        """
        bench = self._trainings.bench
        more = {} if method is None else {"method": method}
        arguments = {"seed": seed, **more}
        if self._isolate:
            reason = _elsewhere(bench, step, arguments)
        else:
            reason = attempt(self._trainings, step, arguments)
        if reason is not None:
            what = step.replace("_", " ") if method is None else method
            bench.echo(f"{what}, seed {seed}: FAILED. {reason}")
        return reason


def share_gpu() -> None:
    """Leaves room for the processes of `isolate`.

    TensorFlow takes a whole GPU when it first uses one. A process that has
    done so before keeps it.
    """
    os.environ.setdefault("TF_FORCE_GPU_ALLOW_GROWTH", "true")


def attempt(
    trainings: Trainings, step: str, arguments: dict[str, object]
) -> str | None:
    """Does a step in this process; returns why it failed."""
    words = "-".join(str(word) for word in (step, *arguments.values()))
    path = trainings.bench.plan.path / f"failure-{words}.txt"
    try:
        with _expected_retracing():
            getattr(trainings, step)(**arguments)
    except InputError as error:
        return str(error)
    except Exception as error:  # Whatever it is, the others shall go on.
        artifacts.write_text(path, traceback.format_exc())
        line = (str(error).strip() or "no message").splitlines()[0]
        return f"{type(error).__name__}: {line} (see {path.name})"
    path.unlink(missing_ok=True)  # Of an earlier attempt.
    return None


@contextlib.contextmanager
def _expected_retracing() -> Iterator[None]:
    """TensorFlow warns when one process trains many models, as ours does."""

    def keep(record: logging.LogRecord) -> bool:
        return "tf.function retracing" not in record.getMessage()

    logger = logging.getLogger("tensorflow")
    logger.addFilter(keep)
    try:
        yield
    finally:
        logger.removeFilter(keep)


def _elsewhere(
    bench: Bench, step: str, arguments: dict[str, object]
) -> str | None:
    with tempfile.TemporaryDirectory() as folder:
        job = Path(folder) / JOB
        job.write_bytes(pickle.dumps((bench.plan, step, arguments)))
        command = [sys.executable, "-m", CHILD, folder]
        code = _followed(command, bench.echo)
        reason = Path(folder) / REASON
        if reason.is_file():
            return reason.read_text(encoding="utf-8")
    if code < 0:
        return f"its process was ended by signal {-code}"
    return f"its process ended with code {code}" if code else None


def _followed(command: list[str], echo: Echo) -> int:
    """Runs a command and hands on its lines; its errors are seen as well."""
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, encoding="utf-8"
    ) as process:
        assert process.stdout is not None
        for line in process.stdout:
            echo(line.rstrip("\n"))
        return process.wait()
