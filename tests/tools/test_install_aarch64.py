"""What the installer of the emulated processor says before it starts."""

import importlib
import sys

import pytest


@pytest.fixture
def install(root, monkeypatch):
    monkeypatch.syspath_prepend(str(root / "tools"))
    return importlib.import_module("install_aarch64")


def test_it_says_what_is_missing_and_starts_nothing(
    install, tmp_path, monkeypatch
):
    monkeypatch.setenv("PATH", str(tmp_path))
    out = tmp_path / "out"
    monkeypatch.setattr(sys, "argv", ["install", "--out", str(out)])
    with pytest.raises(SystemExit, match="apt-get install qemu-user-static"):
        install.main()
    assert not out.exists()
