"""Writes docs/what_works_where.md from the tests that prove its cells.

A test that proves a cell carries `@pytest.mark.cell(row, says, where)`; the
cell exists only if every such test of the session passed. At the end of a
session the committed table is compared with the cells that were seen, and a
difference fails the session; `--write-table` writes the table instead.
`--cells=FILE` dumps as JSON the cells and those of deselected tests, for a
session in another environment whose cells are added by `add_cells`. The test
that runs such a session carries `@pytest.mark.column(where)`: where it is
deselected, no cell of that column is expected.
"""

import json
from pathlib import Path
from typing import Any

import keras
import pytest

TABLE = Path(__file__).resolve().parents[2] / "docs" / "what_works_where.md"
COLUMNS = (
    "TensorFlow",
    "MirroredStrategy",
    "multi_worker.fit",
    "JAX",
    "JAX DataParallel",
    "PyTorch",
)
BACKENDS = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "PyTorch"}
ROWS = (
    "phase 1",
    "phase 2",
    "NumPy arrays",
    "tf.data",
    "PyDataset",
    "Grain",
    "sample_weight",
    "class_weight",
    "unlabelled images",
    "weighted metrics",
    "validation_data",
    "validation_split",
    "regularizers and dropout",
    "batch normalization",
    "synchronized batch normalization",
    "SGD and CoupledSGD",
    "Adam",
    "AdamW",
    "Muon",
    "beta=0 equals student.fit()",
    "each loss term logged exactly",
    "beta changed while training",
    "trainable changed between fits",
    "jit_compile",
    "run_eagerly",
    "steps_per_execution",
    "mixed_float16",
    "mixed_bfloat16",
    "gradient accumulation",
    "moving average of weights",
    "ema_overwrite_frequency",
    "clipnorm",
    "callbacks",
    ".keras files",
    "weights-only files",
    "clone_model and from_config",
    "nested students",
    "subclassed students",
    "Sequential students",
    "a class per pixel",
    "several outputs",
    "evaluate and predict",
    "teacher and paraphraser unchanged",
    "NaN images",
    "interrupted and resumed",
    "models from outside the scope",
    "uneven training batches",
    "uneven validation batches",
    "distributed datasets",
    "OneDeviceStrategy",
    "ParameterServerStrategy and TPUStrategy",
    "keras.distribution",
    "worker killed or frozen",
    "TensorFlow's numbers",
    "the other backend's files",
    "several processes",
)
NOTHING = "–"
HEAD = """# What works where

Every cell is written by a test that passed: "yes" for what works, "refused"
for what ends in a `keras_ft.InputError` before the first step (for NaN images:
before the update), a bound where numbers differ from one device by more than
rounding. "–" means that no test shows anything. `make table` writes this file
anew; `make test` and `make test-long` fail when a cell is not true.

TensorFlow and JAX are one device; JAX runs where TensorFlow is not installed.
"Per replica": statistics or clipping see one replica's share of a batch.
"Other masks": dropout is right, but not one device's. The PyTorch column is
written and compared where `KERAS_FT_TORCH_PYTHON` names such an environment.

"""

Cells = dict[tuple[str, str], str]
_CELLS = pytest.StashKey[dict[tuple[str, str], set[str]]]()
_BROKEN = pytest.StashKey[set[tuple[str, str]]]()
_LEFT_OUT = pytest.StashKey[set[tuple[str, str]]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--write-table", action="store_true")
    parser.addoption("--cells", metavar="FILE")


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "cell(row, says='yes', where=None): proves a cell of the table "
        "docs/what_works_where.md",
    )
    config.addinivalue_line(
        "markers", "column(where): runs the session that proves a column of it"
    )
    config.stash[_CELLS] = {}
    config.stash[_BROKEN] = set()
    config.stash[_LEFT_OUT] = set()


def pytest_itemcollected(item: pytest.Item) -> None:
    for row, _, where in map(_cell, item.iter_markers("cell")):
        if row not in ROWS or where not in COLUMNS:
            raise pytest.UsageError(
                f"{item.nodeid}: no cell ({row!r}, {where!r})"
            )


def pytest_deselected(items: list[pytest.Item]) -> None:
    for item in items:
        left_out = item.config.stash[_LEFT_OUT]
        for row, _, where in map(_cell, item.iter_markers("cell")):
            left_out.add((row, where))
        for mark in item.iter_markers("column"):
            (where,) = mark.args
            left_out.update((row, where) for row in ROWS)


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: Any) -> Any:
    report = (yield).get_result()
    for row, says, where in map(_cell, item.iter_markers("cell")):
        if report.failed:
            item.config.stash[_BROKEN].add((row, where))
        elif report.when == "call" and report.passed:
            _add(item.config, row, where, says)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    """Takes over what a process of pytest-xdist has seen."""
    shown, broken, left_out = getattr(node, "workeroutput", {}).get(
        "cells", ((), (), ())
    )
    for row, where, says in shown:
        _add(node.config, row, where, says)
    node.config.stash[_BROKEN].update(map(tuple, broken))
    node.config.stash[_LEFT_OUT].update(map(tuple, left_out))


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["cells"] = _handed_over(session.config)
        return
    if exitstatus != pytest.ExitCode.OK:
        return
    seen, wrong = _seen(session.config)
    if file := session.config.getoption("--cells"):
        content = {
            "cells": [[*key, says] for key, says in sorted(seen.items())],
            "left_out": sorted(session.config.stash[_LEFT_OUT]),
        }
        Path(file).write_text(json.dumps(content))
    elif session.config.getoption("--write-table"):
        TABLE.write_text(HEAD + _markdown(seen), "utf-8")
    else:
        wrong += _differences(seen, _expected(session.config))
    if wrong:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
        terminal = session.config.pluginmanager.get_plugin("terminalreporter")
        terminal.write_line(f"\n{TABLE.name} is not what the tests show:")
        for line in wrong:
            terminal.write_line(f"  {line}")
        terminal.write_line("`make table` writes it anew.")


def add_cells(config: pytest.Config, path: Path) -> None:
    """Adds what another session dumped with `--cells`."""
    content = json.loads(path.read_text())
    for row, where, says in content["cells"]:
        _add(config, row, where, says)
    config.stash[_LEFT_OUT].update(map(tuple, content["left_out"]))


def _cell(mark: pytest.Mark) -> tuple[str, str, str]:
    def read(
        row: str, says: str = "yes", where: str | None = None
    ) -> tuple[str, str, str]:
        return row, says, where or BACKENDS[keras.backend.backend()]

    return read(*mark.args, **mark.kwargs)


def _add(config: pytest.Config, row: str, where: str, says: str) -> None:
    config.stash[_CELLS].setdefault((row, where), set()).add(says)


def _handed_over(config: pytest.Config) -> tuple[list[Any], ...]:
    shown = [
        [*key, says]
        for key, several in config.stash[_CELLS].items()
        for says in sorted(several)
    ]
    keys = (config.stash[_BROKEN], config.stash[_LEFT_OUT])
    return shown, *(sorted(map(list, each)) for each in keys)


def _seen(config: pytest.Config) -> tuple[Cells, list[str]]:
    """The cells whose tests all passed, and those of two minds."""
    cells, broken = config.stash[_CELLS], config.stash[_BROKEN]
    wrong = [
        f"{row} / {where}: the tests say both {' and '.join(sorted(says))}"
        for (row, where), says in cells.items()
        if len(says) > 1
    ]
    seen = {key: min(s) for key, s in cells.items() if key not in broken}
    return seen, wrong


def _expected(config: pytest.Config) -> set[tuple[str, str]]:
    """The written cells that the session must show.

    Part of the suite sees part of the cells. `make test` leaves the long tests
    out, and the cells that only they prove.
    """
    narrowed = config.option.keyword or config.option.markexpr not in (
        "",
        "not long",
    )
    if narrowed or config.args_source is not pytest.Config.ArgsSource.TESTPATHS:
        return set()
    return set(_read()) - config.stash[_LEFT_OUT]


def _differences(seen: Cells, expected: set[tuple[str, str]]) -> list[str]:
    written = _read()
    # A missing environment sees none of its column.
    columns = {where for _, where in seen}
    keys = seen.keys() | {key for key in expected if key[1] in columns}
    return [
        f"{row} / {where}: written {written.get((row, where), NOTHING)}, "
        f"shown {seen.get((row, where), NOTHING)}"
        for row, where in sorted(keys)
        if written.get((row, where)) != seen.get((row, where))
    ]


def _read() -> Cells:
    lines = [
        [part.strip() for part in line.strip().strip("|").split("|")]
        for line in TABLE.read_text("utf-8").splitlines()
        if line.startswith("|")
    ]
    if not lines:
        return {}
    columns = lines[0][1:]
    return {
        (line[0], column): says
        for line in lines[2:]
        for column, says in zip(columns, line[1:], strict=True)
        if says != NOTHING
    }


def _markdown(cells: Cells) -> str:
    columns = [c for c in COLUMNS if any(where == c for _, where in cells)]
    lines = [["", *columns], ["---"] * (len(columns) + 1)]
    for row in ROWS:
        says = [cells.get((row, column), NOTHING) for column in columns]
        if set(says) != {NOTHING}:
            lines.append([row, *says])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)
