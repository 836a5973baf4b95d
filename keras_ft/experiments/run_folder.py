"""Keep a run in one folder: its settings, finished phases and files."""

import datetime
import platform
import shutil
from collections.abc import Callable
from collections.abc import Iterable
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any
from typing import Self

import filelock

from keras_ft import artifacts
from keras_ft import reading
from keras_ft._version import __version__
from keras_ft.distribution.placement import Placement
from keras_ft.errors import InputError
from keras_ft.experiments.progress import Echo
from keras_ft.experiments.progress import silent
from keras_ft.experiments.run_shape import CONFIGURATIONS
from keras_ft.experiments.run_shape import NOTED_DATASET
from keras_ft.experiments.run_shape import PHASES
from keras_ft.experiments.run_shape import RUN
from keras_ft.experiments.run_shape import RUN_METRICS
from keras_ft.experiments.run_shape import SHARE

RUN_FILE, METRICS = "run.json", "metrics.json"
CHECKPOINTS = "checkpoints"
_LOCK_FILE = ".lock"
# Of run.json: 1 had baselines beside Factor Transfer, 2 has methods.
_FORMAT = 2
_PACKAGES = ("keras", "tensorflow", "numpy", "tensorflow-datasets")


class RunFolder:
    """A run's folder, held by one process at a time.

    Use it as a context manager. Entering takes the lock, refuses other
    settings than the folder was started with, and removes what a killed
    process left half-written.

    On several machines every worker enters it and makes the same calls, but
    the chief alone reads and writes the folder; the others learn from it what
    is finished and keep that in memory.

    Args:
        path: The folder; made if it is missing.
        configuration: Everything that decides the result, JSON values only.
            `None` opens an existing run as it is.
        command_line: What the user typed, kept for the record.
        echo: Takes lines of progress.
        placement: Where the run trains; one device if left out.
        wait: Wait for a process that holds the folder instead of refusing.

    Raises:
        InputError: On entering: another process holds the folder, a setting
            differs from the one it was started with, `run.json` is damaged,
            or something in the folder leads out of it.
    """

    def __init__(
        self,
        path: artifacts.PathLike,
        configuration: dict[str, Any] | None = None,
        command_line: Iterable[str] = (),
        echo: Echo = silent,
        placement: Placement | None = None,
        wait: bool = False,
    ) -> None:
        self.path = Path(path)
        self.echo = echo
        self.placement = placement or Placement()
        self._asked = configuration
        self._command_line = list(command_line)
        self._content: dict[str, Any] = _new_content()
        self._lock: filelock.BaseFileLock | None = None
        self._wait = wait

    def __enter__(self) -> Self:
        if not self.placement.is_chief:
            return self
        self._check_place()
        reading.check_folder(self.path)
        self._lock = _take_lock(self.path, self._wait)
        try:
            self._start()
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._lock is None:
            return
        if kind is None and self._asked is not None:
            self._content["sessions"][-1]["finished"] = _now()
            self._save()
        self._lock.release()

    @property
    def configuration(self) -> dict[str, Any]:
        """Return what the run was started with."""
        # A worker that is not the chief has no content, and asks alike.
        if "configuration" not in self._content and self._asked is not None:
            return dict(self._asked)
        configuration: dict[str, Any] = self._content["configuration"]
        return configuration

    @property
    def content(self) -> dict[str, Any]:
        """Return all of `run.json`: configuration, sessions, phases, notes."""
        return self._content

    @property
    def seconds(self) -> float:
        """Return the time spent on the run so far, by all its processes."""
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
        """Return whether a phase was finished, or an epoch of one."""
        begun = any((self.path / CHECKPOINTS).glob("*/*"))
        return bool(self._content["phases"]) or (
            begun and self.placement.is_chief
        )

    def note(self, name: str, content: Any) -> None:
        """Keep a fact about the run, such as the dataset's normalization."""
        self._content["notes"][name] = content
        self._save()

    def is_finished(self, phase: str) -> bool:
        """Return whether `finish` was reached for `phase`."""
        return phase in self._content["phases"]

    def result(self, phase: str) -> dict[str, Any]:
        """Return what `finish` kept for `phase`.

        Raises:
            InputError: The phase is not finished.
        """
        result: dict[str, Any] = self._phase(phase)["result"]
        return result

    def files(self, phase: str) -> list[str]:
        """Return the files of a finished phase, relative to the folder.

        Raises:
            InputError: The phase is not finished.
        """
        files: list[str] = self._phase(phase)["files"]
        return files

    def _phase(self, name: str) -> dict[str, Any]:
        if not self.is_finished(name):
            raise InputError(
                f"phases.{name} in {self.path / RUN_FILE}",
                "no such key",
                "a phase that was finished",
                "Run the command that made the folder again; it continues.",
            )
        phase: dict[str, Any] = self._content["phases"][name]
        return phase

    def once(
        self,
        phase: str,
        names: Iterable[str],
        make: Callable[[], dict[str, Any]],
        together: bool = True,
    ) -> dict[str, Any]:
        """Return the result of a phase; do it first unless it is finished.

        Args:
            phase: Its name.
            names: The files it makes, relative to the folder. Its history is
                recorded as well where there is one.
            make: Makes the files and returns what to keep about them, JSON
                values only.
            together: Whether every worker makes this call; else the chief.

        Raises:
            InputError: A file of the finished phase is missing or damaged.
        """
        agree = self.placement.agree if together else _as_it_is
        if agree(self.is_finished(phase)):
            self.verify(phase)
            if self.placement.is_chief:
                self.echo(
                    f"{phase}: done before, taken from {self.files(phase)[0]}"
                )
        else:
            result = make()
            made = [*names]
            if (self.path / history(phase)).is_file():
                made.append(history(phase))
            self.finish(phase, made, result)
        chief = self.placement.is_chief
        result = agree(self.result(phase) if chief else None)
        if chief:
            shutil.rmtree(self.path / CHECKPOINTS / phase, ignore_errors=True)
        else:
            self.finish(phase, names, result)
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
        if self.placement.is_chief:
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
        if self.placement.is_chief:
            for name in self.files(phase):
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
        if (self.path / RUN_FILE).is_file():
            self._content = read_content(self.path)
        # A run that failed before its first epoch holds nothing to mix up.
        if self._asked is not None and self.holds_results:
            _refuse_changes(self.path, self.configuration, self._asked)
        _rename_earlier(self.path, self._content)
        if self._asked is None:
            return
        self._content["configuration"] = self._asked
        self._content["sessions"].append(
            {
                "started": _now(),
                "command_line": self._command_line,
                "versions": _versions(),
            }
        )
        self._save()

    def check_command(self, *commands: str) -> None:
        """Refuse a folder that another command made, or that lacks a key.

        Args:
            *commands: Those whose runs are wanted.

        Raises:
            InputError: Names the file and the key.
        """
        path = self.path / RUN_FILE
        _check_command(self._content, path, commands)
        noted = {"notes": {"dataset": NOTED_DATASET, str: Any}, str: Any}
        reading.check(self._content, noted, path)

    def _save(self) -> None:
        if not self.placement.is_chief:
            return
        if self._asked is not None:
            self._content["sessions"][-1]["last_write"] = _now()
        artifacts.write_json(self.path / RUN_FILE, self._content, sealed=True)


def _as_it_is(content: Any) -> Any:
    return content


def history(phase: str) -> str:
    """Return the file of a phase's epochs, relative to the run's folder."""
    return f"history/{phase}.csv"


def read_content(
    folder: artifacts.PathLike, command: str | None = None
) -> dict[str, Any]:
    """Return what a run's `run.json` holds, without taking the folder.

    Args:
        folder: The run's folder.
        command: The one that must have made it.

    Returns:
        Phases and notes; both are empty where there is no run.

    Raises:
        InputError: The file is damaged, or of another command.
    """
    path = Path(folder) / RUN_FILE
    if not path.is_file():
        return _new_content()
    content = artifacts.read_json(path, sealed=True, shape=RUN)
    content = _of_today(content, path)
    found = content.get("configuration", {}).get("command")
    if command is not None:
        _check_command(content, path, (command,))
    elif found in tuple(CONFIGURATIONS):  # It may be of any type.
        _check_command(content, path, (found,))
    return content


def _check_command(
    content: dict[str, Any], path: Path, commands: tuple[str, ...]
) -> None:
    command = content.get("configuration", {}).get("command")
    if command not in commands:
        raise InputError(
            f"configuration.command in {path}",
            repr(command)[:60],
            f"one of {', '.join(commands)}",
            "Name a folder that such a command has made.",
        )
    shape = {"command": str, **CONFIGURATIONS[command]}
    whole = {"configuration": shape, "phases": PHASES, str: Any}
    reading.check(content, whole, path)


def read_metrics(folder: artifacts.PathLike) -> dict[str, Any]:
    """Return what a finished run's `metrics.json` holds.

    Raises:
        InputError: The run is not finished, or the file is damaged.
    """
    path = artifacts.verify(folder, METRICS)
    found: dict[str, Any] = artifacts.read_json(path, shape=RUN_METRICS)
    shares: dict[Any, Any] = {
        name: SHARE
        for name in found
        if name.endswith("_accuracy") and not name.startswith("tflite_")
    }
    shares |= {f"{name}_accuracy": SHARE for name in found.get("methods", ())}
    if len(shares) > 1:  # That of the teacher, and of a student.
        shares["student_parameters"] = int
    reading.check(found, {**shares, str: Any}, path)
    return found


def _new_content() -> dict[str, Any]:
    return {"format": _FORMAT, "notes": {}, "phases": {}, "sessions": []}


# Phases as they were called in format 1.
_EARLIER = {"distil": "ft", "alone": "none"}


def _of_today(content: dict[str, Any], path: Path) -> dict[str, Any]:
    """Return the content of a run of an earlier version as one of today.

    Raises:
        InputError: It is a comparison or a search, which do not go on.
    """
    if content.get("format") == _FORMAT:
        return content
    shape = {"recipe?": dict, "baselines?": [str], str: Any}
    configuration = content.get("configuration") or {}
    reading.check(configuration, shape, path)
    if configuration.get("command") in ("compare", "tune"):
        raise InputError(
            f"{path.parent} was made by an earlier version of keras_ft, whose "
            "comparisons and searches cannot be continued. Name another "
            "--run_dir."
        )
    if "recipe" in configuration:
        names = configuration.pop("baselines", [])
        methods = ["ft", *(_EARLIER.get(name, name) for name in names)]
        configuration["methods"] = methods
        recipe = configuration["recipe"]
        recipe["distill"] = recipe.pop("distil", None)
    phases = {}
    for name, phase in content["phases"].items():
        files = [_renamed(file) for file in phase["files"]]
        phases[_EARLIER.get(name, name)] = {**phase, "files": files}
    return {**content, "format": _FORMAT, "phases": phases}


def _renamed(file: str) -> str:
    for old, new in _EARLIER.items():
        if file == history(old):
            return history(new)
    return file


def _rename_earlier(folder: Path, content: dict[str, Any]) -> None:
    """Rename the files of phases that had other names."""
    for old, new in _EARLIER.items():
        for before, now in (
            (folder / CHECKPOINTS / old, folder / CHECKPOINTS / new),
            (folder / history(old), folder / history(new)),
        ):
            if before.exists() and not now.exists():
                before.rename(now)
                if history(new) in content["phases"].get(new, {}).get(
                    "files", ()
                ):
                    artifacts.record(folder, [history(new)])


def _now() -> str:
    now = datetime.datetime.now(datetime.UTC)
    return now.isoformat(timespec="milliseconds")


def _versions() -> dict[str, str]:
    """Return the versions of Python and of what decides a result."""
    found = {"python": platform.python_version(), "keras_ft": __version__}
    for package in _PACKAGES:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found


def _take_lock(folder: Path, wait: bool) -> filelock.BaseFileLock:
    reading.check_lock(folder / _LOCK_FILE)
    lock = filelock.FileLock(folder / _LOCK_FILE, timeout=-1 if wait else 0)
    try:
        lock.acquire()
    except filelock.Timeout:
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
    before, now = flat(started), flat(asked)
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


def flat(content: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested values by their dotted names.

    Args:
        content: JSON values by name.
        prefix: Before every name.

    Example:

    >>> flat({"recipe": {"rate": 0.5}})
    {'recipe.rate': 0.5}
    """
    found: dict[str, Any] = {}
    for key, value in content.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            # JSON knows lists only, so a tuple equals the list read back.
            value = list(value) if isinstance(value, tuple) else value
            found[prefix + key] = value
    return found
