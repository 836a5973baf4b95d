"""What a user can reach: the names that the package and its indexes offer."""

import ast
import importlib
import inspect
import typing
from collections.abc import Iterator
from typing import Any

import keras_ft

# Reached as `keras_ft.<name>` once imported; not in the index of the package.
MODULES = ("layers", "losses", "metrics", "recipes")


def index(name: str) -> set[str]:
    """Return what a module offers.

    That is its `__all__`, what it imports as `import name as name`, or else
    what it defines without an underscore.
    """
    module = importlib.import_module(name)
    return (
        set(getattr(module, "__all__", ()))
        or {
            alias.name
            for node in ast.walk(ast.parse(inspect.getsource(module)))
            if isinstance(node, ast.ImportFrom)
            for alias in node.names
            if alias.asname == alias.name
        }
        or {
            key
            for key, value in vars(module).items()
            if not key.startswith("_")
            and getattr(value, "__module__", None) == name
        }
    )


def documented() -> dict[str, Any]:
    """Return every public class and function by its shortest name.

    Classes that signatures of these mention count as well: a user is handed
    them, or has to make them. Their names have no dot.
    """
    packages = [
        name
        for name in index("keras_ft")
        if inspect.ismodule(getattr(keras_ft, name))
    ]
    found: dict[str, Any] = {}
    for module in ("keras_ft", *sorted({*packages, *MODULES})):
        path = module if module == "keras_ft" else f"keras_ft.{module}"
        home = importlib.import_module(path)
        for name in sorted(index(path)):
            value = getattr(home, name)
            kind = inspect.isclass(value) or inspect.isfunction(value)
            if kind and value not in found.values():
                found[f"{path}.{name}"] = value
    waiting = list(found.values())
    while waiting:
        for mentioned in _mentioned(waiting.pop()):
            if not any(
                inspect.isclass(known) and issubclass(known, mentioned)
                for known in found.values()
            ):
                found[mentioned.__name__] = mentioned
                waiting.append(mentioned)
    return found


def members(value: Any) -> dict[str, Any]:
    """Return the public methods and properties of a class, as functions."""
    found: dict[str, Any] = {}
    for base in inspect.getmro(value) if inspect.isclass(value) else ():
        if base.__module__.startswith("keras_ft"):
            for name, member in vars(base).items():
                function = getattr(member, "fget", None) or getattr(
                    member, "__func__", member
                )
                if not name.startswith("_") and inspect.isfunction(function):
                    found.setdefault(name, function)
    return found


def _mentioned(value: Any) -> Iterator[type]:
    """Yield the classes of this package in the signatures of a public one."""
    functions = [value]
    if inspect.isclass(value):
        functions = [value.__init__, *members(value).values()]
    for function in functions:
        try:
            hints = typing.get_type_hints(function)
        except NameError:  # imported for type checkers only
            continue
        for hint in hints.values():
            for leaf in _leaves(hint):
                public = not leaf.__name__.startswith("_")
                if public and leaf.__module__.startswith("keras_ft."):
                    yield leaf


def _leaves(hint: Any) -> Iterator[type]:
    parts = typing.get_args(hint)
    if inspect.isclass(hint) and not parts:
        yield hint
    for part in parts:
        yield from _leaves(part)
