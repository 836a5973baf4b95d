"""The text of --help: purpose, examples, flags with their defaults."""

import inspect
import textwrap
from collections.abc import Mapping

from absl import flags

_WIDTH = 79


def overview(program: str, commands: Mapping[str, str]) -> str:
    """Return the commands, one line each."""
    width = max(map(len, commands))
    lines = [f"  {name:<{width}}  {text}" for name, text in commands.items()]
    return "\n".join(
        [
            "Factor Transfer for Keras: a small network learns from a large "
            "one.",
            "",
            f"usage: {program} <command> [--flag=value ...]",
            "",
            *lines,
            "",
            f"{program} <command> --help explains a command and its flags.",
            "Every command that trains goes on where it stopped when it is "
            "run again",
            "with the same --run_dir.",
        ]
    )


def command_help(
    program: str, name: str, purpose: str, values: flags.FlagValues
) -> str:
    """Purpose and examples of a command, then its flags.

    Args:
        program: The program's name.
        name: The command's name.
        purpose: Its module's docstring.
        values: Its flags.
    """
    shown = [_flag(values[flag]) for flag in values if not _is_absl(flag)]
    return "\n".join(
        [
            f"usage: {program} {name} [--flag=value ...]",
            "",
            inspect.cleandoc(purpose),
            "",
            "flags:",
            *shown,
        ]
    )


def _is_absl(name: str) -> bool:
    return name in ("flagfile", "undefok")


def _flag(flag: flags.Flag) -> str:
    if flag.boolean:
        default = f"--{'' if flag.value else 'no'}{flag.name}"
        head = f"  --[no]{flag.name}   (default: {default})"
    else:
        text = flag.serialize() if flag.value is not None else ""
        value = text.partition("=")[2]
        head = f"  --{flag.name}   (default: {value or 'unset'})"
    body = textwrap.fill(
        flag.help, _WIDTH, initial_indent=" " * 6, subsequent_indent=" " * 6
    )
    return f"{head}\n{body}"
