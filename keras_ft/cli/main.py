"""`keras-ft <command> --flags`: one line per error, exit codes as documented.

Exit codes: 0 done; 1 a defect, with a trace; 2 bad input, one line; 75
another worker of the cluster stopped, start all again; 130 interrupted by
Ctrl-C; 141 nobody reads the output any more; 143 ended by SIGTERM.
"""

import contextlib
import difflib
import importlib
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from collections.abc import Sequence
from types import FrameType
from types import ModuleType

from absl import flags
from absl import logging

from keras_ft.cli.help import command_help
from keras_ft.cli.help import overview
from keras_ft.data.load_name import check_name
from keras_ft.errors import InputError
from keras_ft.reading import FACTOR
from keras_ft.validation.installed import require_tensorflow

COMMANDS = {
    "demo": "the whole job in minutes on data that comes along",
    "train_teacher": "train a large network to distill from",
    "distill": "both phases: from a teacher to a student and its .tflite",
    "compare": "one student by several methods and seeds, with a verdict",
    "tune": "the best rate, beta and more: a search with keras-tuner",
    "export": "a .tflite of a trained student, proven in LiteRT",
    "benchmark": "size, speed and accuracy of .tflite files side by side",
    "taps": "the feature maps of a network that can be distilled",
}
PROGRAM = "keras-ft"
# As of a process that SIGPIPE ends; Windows has no such signal.
_NO_READER = 141


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: The words after the program's name; by default the
            process's own.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    # Before TensorFlow is imported by a command: it logs from C++, and it
    # leaves oneDNN off on processors without AVX-512, where the training step
    # of a ResNet-20 then takes 1.4 times as long.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    # TFDS warns about its own internals; an error is one line.
    logging.set_verbosity(logging.ERROR)
    try:
        with _ended_by_sigterm():
            code = _dispatch(words)
            # Here and not when Python ends: nobody could catch it there.
            sys.stdout.flush()
            return code
    except BrokenPipeError:
        if not _is_output_closed():
            raise
        return _NO_READER
    except (InputError, flags.Error) as error:
        return _refuse(str(error))
    except RuntimeError as error:
        # By name: the class's module needs Keras, which --help must not.
        if type(error).__name__ != "WorkerLostError":
            raise
        _tell(str(error))
        return 75
    except KeyboardInterrupt as interrupt:
        print(
            f"\n{PROGRAM}: interrupted. Run the same command again to "
            "continue after the last complete epoch.",
            file=sys.stderr,
        )
        return 128 + (
            signal.SIGTERM
            if isinstance(interrupt, _TerminatedError)
            else signal.SIGINT
        )


class _TerminatedError(KeyboardInterrupt):
    """SIGTERM, which whatever cleans up after Ctrl-C takes for that."""


@contextlib.contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does."""
    # Python takes signals in its main thread alone.
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise _TerminatedError

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _is_output_closed() -> bool:
    """Return whether nobody reads standard output; if so, write no more."""
    if not hasattr(select, "poll"):  # on Windows
        return True
    output = sys.stdout.fileno()
    poll = select.poll()
    poll.register(output, 0)
    if not any(events & select.POLLERR for _, events in poll.poll(0)):
        return False
    # What is still in a buffer is written when Python ends.
    void = os.open(os.devnull, os.O_WRONLY)
    os.dup2(void, output)
    os.close(void)
    return True


def _dispatch(words: list[str]) -> int:
    if not words or words[0] in ("--help", "-h", "help"):
        print(overview(PROGRAM, COMMANDS))
        return 0
    name, *rest = words
    if name == "--version":
        from keras_ft._version import __version__

        print(f"{PROGRAM} {__version__}")
        return 0
    if name not in COMMANDS:
        near = difflib.get_close_matches(name, COMMANDS, n=1)
        raise InputError(
            "command",
            repr(name),
            f"one of {', '.join(COMMANDS)}",
            f"Did you mean {near[0]}?"
            if near
            else f"{PROGRAM} --help tells what each one does.",
        )
    command = importlib.import_module(f"keras_ft.cli.{name}")
    return _run(command, name, rest)


def _run(command: ModuleType, name: str, words: list[str]) -> int:
    # Own flag values for every call: nothing global is defined or read.
    values = flags.FlagValues()
    command.define(values)
    _define_file_limits(values)
    if "--help" in words or "-h" in words:
        print(command_help(PROGRAM, name, command.__doc__ or "", values))
        return 0
    try:
        positional = values([name, *words])[1:]
    except flags.UnrecognizedFlagError as error:
        raise _unknown_flag(error, values) from error
    if positional:
        raise InputError(
            "arguments",
            " ".join(positional),
            "flags only",
            f"Write --flag=value; {PROGRAM} {name} --help lists the flags.",
        )
    for flag in sorted(values):
        # A flag like --bundle may stand alone.
        alone = values[flag].boolean
        if values[flag].present and values[flag].value == "" and not alone:
            raise InputError(
                f"--{flag}",
                "nothing",
                "a value",
                f"Write --{flag}=value, or leave the flag out.",
            )
    if "dataset" in values and values["dataset"].value is not None:
        check_name(values["dataset"].value)
    require_tensorflow(
        f"{PROGRAM} {name}",
        "Train from Python instead, as examples/jax_quickstart.py does.",
    )
    with _limits_raised(values["file_limits"]):
        command.run(values, [PROGRAM, name, *words])
    return 0


def _define_file_limits(values: flags.FlagValues) -> None:
    flags.DEFINE_float(
        "file_limits",
        1.0,
        "Raise the limits on what files of networks and arrays unpack to (4 "
        "GiB, 100 times their size, 1e9 parameters, 5,000 layers) by so many "
        "times.",
        lower_bound=1.0,
        flag_values=values,
    )


@contextlib.contextmanager
def _limits_raised(flag: flags.Flag) -> Iterator[None]:
    """Raise the limits, in processes that the command starts as well."""
    before = os.environ.get(FACTOR)
    if flag.present:
        os.environ[FACTOR] = str(flag.value)
    try:
        yield
    finally:
        if before is None:
            os.environ.pop(FACTOR, None)
        else:
            os.environ[FACTOR] = before


def _unknown_flag(
    error: flags.UnrecognizedFlagError, values: flags.FlagValues
) -> InputError:
    """Return the error of an unknown flag, with the nearest known one."""
    known = sorted(values)
    near = difflib.get_close_matches(error.flagname, known, n=1, cutoff=0.5)
    return InputError(
        f"--{error.flagname}",
        "an unknown flag",
        "a flag of this command",
        f"Did you mean --{near[0]}?"
        if near
        else f"Known are {', '.join(f'--{name}' for name in known)}.",
    )


def _refuse(message: str) -> int:
    _tell(message)
    return 2


def _tell(message: str) -> None:
    line = " ".join(message.split())
    print(f"{PROGRAM}: error: {line}", file=sys.stderr)
