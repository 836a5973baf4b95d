"""What README tells a newcomer to do works."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```python\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def test_the_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert BLOCKS
    namespace: dict[str, object] = {}
    for number, block in enumerate(BLOCKS, start=1):
        exec(compile(block, f"README block {number}", "exec"), namespace)
    assert (tmp_path / "student.tflite").stat().st_size > 0


@pytest.mark.parametrize("verb", ["demo", "test"])
def test_the_plain_commands_are_those_of_the_makefile(verb):
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    rule = re.search(rf"^{verb}:.*\n\t(.+)$", makefile, re.MULTILINE)
    assert rule is not None
    plain = rule[1].replace("$(BIN)", ".venv/bin").removesuffix(" $(ARGS)")
    row = next(
        line
        for line in README.splitlines()
        if line.startswith(f"| `make {verb}`")
    )
    assert f"`{plain}`" in row
