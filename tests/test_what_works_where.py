"""The plugin that writes and checks the table of what works where."""

import json
from types import SimpleNamespace

import pytest
import what_works_where as plugin

PROVED, LEFT_OUT = ("Adam", "JAX"), ("Muon", "JAX")


@pytest.fixture
def config():
    """A session of all tests but the long ones, before its first test."""
    made = SimpleNamespace(
        stash=pytest.Stash(),
        addinivalue_line=lambda *_: None,
        option=SimpleNamespace(keyword="", markexpr="not long"),
        args_source=pytest.Config.ArgsSource.TESTPATHS,
    )
    plugin.pytest_configure(made)
    return made


def test_another_sessions_cells_and_deselected_tests_count(
    config, tmp_path, monkeypatch
):
    monkeypatch.setattr(
        plugin, "_read", lambda: dict.fromkeys((PROVED, LEFT_OUT), "yes")
    )
    dumped = tmp_path / "cells.json"
    content = {"cells": [[*PROVED, "yes"]], "left_out": [LEFT_OUT]}
    dumped.write_text(json.dumps(content))
    assert plugin._expected(config) == {PROVED, LEFT_OUT}
    plugin.add_cells(config, dumped)
    assert plugin._expected(config) == {PROVED}
    assert plugin._seen(config) == ({PROVED: "yes"}, [])
    assert not plugin._differences({PROVED: "yes"}, plugin._expected(config))
    (wrong,) = plugin._differences({PROVED: "no"}, plugin._expected(config))
    assert wrong == "Adam / JAX: written yes, shown no"


def test_a_column_is_not_expected_where_its_session_is_deselected(
    config, monkeypatch
):
    elsewhere = ("Adam", "TensorFlow")
    monkeypatch.setattr(
        plugin, "_read", lambda: dict.fromkeys((PROVED, elsewhere), "yes")
    )
    marks = {"column": [pytest.mark.column("JAX").mark]}
    session = SimpleNamespace(
        config=config, iter_markers=lambda name: marks.get(name, [])
    )
    assert plugin._expected(config) == {PROVED, elsewhere}
    plugin.pytest_deselected([session])
    assert plugin._expected(config) == {elsewhere}
