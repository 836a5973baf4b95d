import os
import re
import subprocess
import sys

import pytest

TESTS = """
import pytest

@pytest.fixture
def runtime():
    pytest.skip("no parrot: make install-parrot")

def test_with_a_runtime(runtime):
    pass

@pytest.mark.skipif(True, reason="parrot is not installed")
def test_marked():
    pass

def test_inside():
    pytest.skip("no shared folder beside the checkout")

def test_allowed():
    pytest.skip("KERAS_FT_TORCH_PYTHON names no environment with PyTorch")

@pytest.mark.skipif(True, reason="signals are POSIX")
def test_allowed_and_marked():
    pass

@pytest.mark.xfail
def test_expected_failure():
    assert False

def test_passing():
    pass
"""
MODULE = """
import pytest

pytest.importorskip("no_such_package", reason="no_such_package is missing")

def test_never_seen():
    pass
"""


@pytest.fixture
def session(tmp_path, root):
    """Runs pytest with the plugin on the files above; its output."""
    (tmp_path / "test_some.py").write_text(TESTS)
    (tmp_path / "test_module.py").write_text(MODULE)

    def run(file, **environment):
        kept = dict(os.environ)
        kept.pop("KERAS_FT_NO_SKIPS", None)
        kept |= {"PYTHONPATH": str(root / "tests/plugins")} | environment
        words = ["-q", "-rA", "-c", os.devnull, "-p", "no_skips", file]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *words],
            cwd=tmp_path,
            env=kept | {"PYTEST_ADDOPTS": ""},
            capture_output=True,
            text=True,
        )
        return done.returncode, done.stdout

    return run


def names(output, outcome):
    return set(re.findall(rf"^{outcome} .*::(\w+)", output, re.MULTILINE))


def test_skips_are_skips_where_nothing_is_said(session):
    for environment in ({}, {"KERAS_FT_NO_SKIPS": "0"}):
        code, output = session("test_some.py", **environment)
        assert code == 0, output
        assert "1 passed, 5 skipped, 1 xfailed" in output


def test_skips_are_failures_but_for_those_that_may_be(session):
    code, output = session("test_some.py", KERAS_FT_NO_SKIPS="1")
    assert code == 1
    expected = {"test_with_a_runtime", "test_marked", "test_inside"}
    failed = names(output, "FAILED") | names(output, "ERROR")
    assert failed == expected
    assert "2 skipped" in output and "1 xfailed" in output
    assert names(output, "PASSED") == {"test_passing"}
    assert "no parrot: make install-parrot" in output
    assert "tests/plugins/no_skips.py" in output


def test_a_module_that_is_skipped_is_a_failure(session):
    assert session("test_module.py")[0] == 5  # nothing was collected
    code, output = session("test_module.py", KERAS_FT_NO_SKIPS="1")
    assert code == 2
    assert "no_such_package is missing" in output


def test_ci_says_so(root):
    script = (root / ".ci" / "run").read_text("utf-8")
    said = script.index("export KERAS_FT_NO_SKIPS=1")
    assert said < script.index("make test ")
