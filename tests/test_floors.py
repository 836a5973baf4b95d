"""The house rules that a reader relies on, checked on the source itself."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "keras_ft"
FILES = sorted(PACKAGE.rglob("*.py"))

# From the ground up. A module imports from lower lines only, or from its own
# package.
FLOORS = (
    {"errors", "_version"},
    {"reading"},
    {"losses", "metrics", "heads", "artifacts", "archives", "tables"},
    {"validation"},
    {"optimizers", "callbacks", "features", "layers", "zoo", "data"},
    {"acceleration"},
    {"transfers", "feature_cache"},
    {"models"},
    {"methods", "distribution"},
    {"recipes", "multi_worker"},  # the latter: distribution's public names
    {"export"},
    {"compression"},
    {"experiments"},
    {"tuner"},
    {"report"},
    {"one_call"},
    {"cli"},
    {"__main__"},
    {"__init__"},
)
# Narrower than their floor.
ONLY = {
    "export": {
        "errors",
        "_version",
        "reading",
        "artifacts",
        "losses",
        "heads",
        "validation",
        "export",
    },
    "data": {"errors", "reading", "artifacts", "validation", "data"},
    "layers": {"errors", "validation", "layers"},
    "zoo": {"errors", "reading", "artifacts", "archives", "zoo"},
}

TENSORFLOW = {
    "tensorflow",
    "tensorflow_datasets",
    "tf_keras",
    "ai_edge_litert",
    "tensorflow_model_optimization",
}
# The modules and packages whose subject it is.
TENSORFLOW_IS_SUBJECT = {
    "acceleration",
    "compression",
    "data",
    "distribution",
    "experiments",  # asks TensorFlow's profiler and allocator
    "export",
    "feature_cache",
    "losses",  # asks for the number of replicas, in one function
    "models",  # the explicit train step; gradients of each backend
    "validation",  # checks inside TensorFlow's steps, its strategies
}
TFMOT_DOOR = "compression/tfmot.py"


def _id(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def _unit(path: Path) -> str:
    return path.relative_to(PACKAGE).parts[0].removesuffix(".py")


TREES = {path: ast.parse(path.read_text("utf-8"), str(path)) for path in FILES}


def _imports(path: Path) -> Iterator[tuple[str, str]]:
    """File and line, and full name, of each import; dots of relative ones."""
    for node in ast.walk(TREES[path]):
        where = f"{_id(path)}:{getattr(node, 'lineno', 0)}"
        if isinstance(node, ast.Import):
            yield from ((where, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from (
                (where, f"{module}.{alias.name}") for alias in node.names
            )


def _every_import() -> Iterator[tuple[Path, str, str]]:
    for path in FILES:
        for where, name in _imports(path):
            yield path, where, name


def test_the_floors_know_every_module():
    known = set().union(*FLOORS)
    assert {_unit(path) for path in FILES} <= known, "add it to FLOORS"
    assert sum(map(len, FLOORS)) == len(known), "a module is on two floors"


def test_imports_point_down():
    upward = []
    for path, where, name in _every_import():
        if not name.startswith("keras_ft."):
            continue
        unit = _unit(path)
        floor = next(i for i, units in enumerate(FLOORS) if unit in units)
        below = ONLY.get(unit, set().union(*FLOORS[:floor], {unit}))
        if name.split(".")[1] not in below:
            upward.append(f"{where} imports {name}")
    assert not upward


def test_imports_are_absolute_and_never_tf_keras():
    for _, where, name in _every_import():
        assert not name.startswith("."), f"{where}: relative import"
        assert not name.startswith("tensorflow.keras"), where
    for path in FILES:
        for node in ast.walk(TREES[path]):
            assert not (
                isinstance(node, ast.Attribute)
                and node.attr == "keras"
                and isinstance(node.value, ast.Name)
                and node.value.id == "tf"
            ), f"{_id(path)}:{node.lineno}: tf.keras"


def test_tensorflow_is_imported_only_where_it_is_the_subject():
    elsewhere = [
        f"{where} imports {name}"
        for path, where, name in _every_import()
        if name.split(".")[0] in TENSORFLOW
        and _unit(path) not in TENSORFLOW_IS_SUBJECT
    ]
    assert not elsewhere


def test_model_optimization_has_one_door():
    # Importing it changes an environment variable and swaps `tf.keras`.
    doors = {
        _id(path)
        for path, _, name in _every_import()
        if name.startswith("tensorflow_model_optimization")
    }
    assert doors <= {TFMOT_DOOR}


def test_a_file_says_what_it_is():
    silent = [_id(path) for path in FILES if not ast.get_docstring(TREES[path])]
    assert not silent


# `import x` of a loaded module still goes through `__import__`, so this sees
# the package ask for TensorFlow although Keras has already loaded it.
_WATCHED_IMPORT = """
import builtins
import keras

asked, original = [], builtins.__import__

def watched(name, globals=None, *rest, **more):
    importer = (globals or {}).get("__name__", "")
    if importer.split(".")[0] == "keras_ft" and name.split(".")[0] in %r:
        asked.append(f"{importer} imports {name}")
    return original(name, globals, *rest, **more)

builtins.__import__ = watched
import keras_ft
import keras_ft.recipes, keras_ft.models.factor_transfer
assert not asked, asked
"""


def test_importing_the_package_does_not_ask_for_tensorflow():
    _run_python(_WATCHED_IMPORT % TENSORFLOW)


def test_the_package_imports_without_tensorflow_on_jax():
    pytest.importorskip("jax", reason="the jax extra is not installed")
    blocked = f"""
import sys
for name in {TENSORFLOW!r}:
    sys.modules[name] = None
import keras_ft
keras_ft.Paraphraser(rate=0.5)
"""
    _run_python(blocked, KERAS_BACKEND="jax")


def _run_python(code: str, **environment: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
