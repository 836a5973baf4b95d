"""Docstrings cite only what exists: `module.name`, `Class.attribute`."""

import ast
import re
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TREES = {
    path.relative_to(ROOT): ast.parse(path.read_text("utf-8"), str(path))
    for path in sorted((ROOT / "keras_ft").rglob("*.py"))
}
CITED = re.compile(r"`([A-Za-z_]\w*(?:\.\w+)+)(?:\([^`]*\))?`")
# Names of files; and what stands for others' code, or for a variable of the
# reader's.
ENDINGS = set(
    "csv fbs html json keras kt md npy npz py tex tflite txt yaml".split()
)
OTHERS = set(
    "cache data HyperbandOracle keras layer1 model np tf torch".split()
)


def _offered(tree):
    """The names that a module defines or imports."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.id


def _attributes(node):
    """Methods, fields and what is assigned; None where a base may add more."""
    if node.bases:
        return None
    return {
        *_offered(node),
        *(n.attr for n in ast.walk(node) if isinstance(n, ast.Attribute)),
    }


def _index():
    modules, classes = defaultdict(set), {}
    for path, tree in TREES.items():
        *packages, name = path.with_suffix("").parts
        modules[name] |= set(_offered(tree))
        if name == "__init__":
            modules[packages[-1]] |= set(_offered(tree))
            packages, name = packages[:-1], packages[-1]
        if packages:
            modules[packages[-1]].add(name)
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                classes[node.name] = _attributes(node)
    return modules, classes


def _used(tree):
    """The variables, arguments and attributes of a file."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.Attribute):
            yield node.attr


def _cited(tree):
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef):
            for name in CITED.findall(ast.get_docstring(node) or ""):
                yield name.split(".")


def _exists(first, *rest, modules, classes, used):
    if not rest or rest[-1] in ENDINGS or first in OTHERS:
        return True
    if first in classes:
        attributes = classes[first]
        return attributes is None or rest[0] in attributes
    if rest[0] in modules.get(first, ()):
        return True
    # A variable; one that has a module's name must have such an attribute.
    return first in used and (first not in modules or rest[0] in used)


def test_docstrings_cite_what_exists():
    modules, classes = _index()
    wrong = []
    for path, tree in TREES.items():
        known = {"modules": modules, "classes": classes, "used": {*_used(tree)}}
        for first, *rest in _cited(tree):
            name = rest if first == "keras_ft" else [first, *rest]
            if not _exists(*name, **known):
                wrong.append(f"{path}: {'.'.join(name)}")
    assert not wrong
