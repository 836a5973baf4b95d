"""One folder per run: its settings, its finished phases, its files."""

import datetime
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType
from typing import IO
from typing import Any
from typing import Self

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.experiments.versions import versions

RUN_FILE = "run.json"
CHECKPOINTS = "checkpoints"
_LOCK_FILE = ".lock"


class RunFolder:
    """A run's folder, held by one process at a time.

    Use it as a context manager. Entering takes the lock, refuses other
    settings than the folder was started with, and removes what a killed
    process left half-written.

    Args:
        path: The folder; made if it is missing.
        configuration: Everything that decides the result, JSON values only.
            `None` opens an existing run as it is.
        command_line: What the user typed, kept for the record.

    Raises:
        InputError: On entering: another process holds the folder, a setting
            differs from the one it was started with, or `run.json` is damaged.

    Example:

    >>> with RunFolder("runs/first", {"seed": 0}) as run:
    ...     if not run.is_finished("teacher"):
    ...         artifacts.write_text(run.path / "labels.txt", "shirt")
    ...         run.finish("teacher", ["labels.txt"], {"accuracy": 0.93})
    """

    def __init__(
        self,
        path: artifacts.PathLike,
        configuration: dict[str, Any] | None = None,
        command_line: Iterable[str] = (),
    ) -> None:
        self.path = Path(path)
        self._asked = configuration
        self._command_line = list(command_line)
        self._content: dict[str, Any] = {}
        self._lock: IO[str] | None = None

    def __enter__(self) -> Self:
        self._check_place()
        self._lock = _take_lock(self.path)
        try:
            self._start()
        except BaseException:
            self._lock.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if kind is None and self._asked is not None:
            self._content["sessions"][-1]["finished"] = _now()
            self._save()
        assert self._lock is not None
        self._lock.close()

    @property
    def configuration(self) -> dict[str, Any]:
        """What the run was started with."""
        configuration: dict[str, Any] = self._content["configuration"]
        return configuration

    @property
    def content(self) -> dict[str, Any]:
        """All of `run.json`: configuration, sessions, phases and notes."""
        return self._content

    @property
    def seconds(self) -> float:
        """Time spent on the run so far, by all its processes."""
        total = 0.0
        for session in self._content["sessions"]:
            started, last = (
                datetime.datetime.fromisoformat(session[name])
                for name in ("started", "last_write")
            )
            total += (last - started).total_seconds()
        if self._asked is not None:
            now = datetime.datetime.now(datetime.UTC)
            total += (now - last).total_seconds()
        return total

    @property
    def holds_results(self) -> bool:
        """Whether a phase was finished, or an epoch of one."""
        begun = any((self.path / CHECKPOINTS).glob("*/*"))
        return begun or bool(self._content["phases"])

    def note(self, name: str, content: Any) -> None:
        """Keep a fact about the run, such as the dataset's normalization."""
        self._content["notes"][name] = content
        self._save()

    def is_finished(self, phase: str) -> bool:
        """Whether `finish` was reached for `phase`."""
        return phase in self._content["phases"]

    def result(self, phase: str) -> dict[str, Any]:
        """What `finish` kept for `phase`."""
        result: dict[str, Any] = self._content["phases"][phase]["result"]
        return result

    def finish(
        self, phase: str, names: Iterable[str], result: dict[str, Any]
    ) -> None:
        """Record a phase's files and mark it finished.

        Args:
            phase: Its name.
            names: The files it made, relative to the folder.
            result: Numbers to keep, JSON values only.
        """
        names = list(names)
        artifacts.record(self.path, names)
        self._content["phases"][phase] = {
            "finished": _now(),
            "files": names,
            "result": result,
        }
        self._save()

    def verify(self, phase: str) -> None:
        """Check every file of a finished phase.

        Raises:
            InputError: A file is missing or damaged.
        """
        for name in self._content["phases"][phase]["files"]:
            artifacts.verify(self.path, name)

    def _check_place(self) -> None:
        if self._asked is None and not (self.path / RUN_FILE).is_file():
            raise InputError(
                "run_dir",
                self.path,
                f"a run folder, that is one with a {RUN_FILE}",
                "Name the --run_dir of an earlier run.",
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                "run_dir",
                f"{self.path} ({error.strerror})",
                "a folder that can be made and written",
                "Name another --run_dir.",
            ) from error

    def _start(self) -> None:
        artifacts.remove_unfinished(self.path)
        self._content = {"notes": {}, "phases": {}, "sessions": []}
        if (self.path / RUN_FILE).is_file():
            self._content = artifacts.read_json(
                self.path / RUN_FILE, sealed=True
            )
        if self._asked is None:
            return
        # A run that failed before its first epoch holds nothing to mix up.
        if self.holds_results:
            _refuse_changes(self.path, self.configuration, self._asked)
        self._content["configuration"] = self._asked
        self._content["sessions"].append(
            {
                "started": _now(),
                "command_line": self._command_line,
                "versions": versions(),
            }
        )
        self._save()

    def _save(self) -> None:
        if self._asked is not None:
            self._content["sessions"][-1]["last_write"] = _now()
        artifacts.write_json(self.path / RUN_FILE, self._content, sealed=True)


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="milliseconds")


def _take_lock(folder: Path) -> IO[str]:
    # Imported here: fcntl is POSIX only, and `import keras_ft` is not.
    import fcntl

    lock = open(folder / _LOCK_FILE, "w")  # noqa: SIM115 - held for the run
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise InputError(
            "run_dir",
            folder,
            "a folder that no other process is using",
            "Wait for the other run to end, or name another --run_dir.",
        ) from None
    return lock


def _refuse_changes(
    folder: Path, started: dict[str, Any], asked: dict[str, Any]
) -> None:
    before, now = _flat(started), _flat(asked)
    for key in sorted(before.keys() | now.keys()):
        old, new = before.get(key, "not set"), now.get(key, "not set")
        if old != new:
            raise InputError(
                key,
                new,
                f"{old}, with which {folder} was started",
                "Use the old value to continue that run, or name another "
                "--run_dir for a new one.",
            )


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            flat.update(_flat(value, f"{prefix}{key}."))
        else:
            # JSON knows lists only, so a tuple equals the list read back.
            value = list(value) if isinstance(value, tuple) else value
            flat[prefix + key] = value
    return flat
