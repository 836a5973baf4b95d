"""Do what README and docs tell a newcomer to do."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def run_blocks(text):
    """Run the Python blocks of a page, one after the other."""
    fence = re.compile(r"^```python\n(.*?)^```", re.DOTALL | re.MULTILINE)
    blocks = fence.findall(text)
    assert blocks
    namespace: dict[str, object] = {}
    for number, block in enumerate(blocks, start=1):
        exec(compile(block, f"block {number}", "exec"), namespace)


@pytest.mark.long
def test_the_python_blocks_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks(README)
    assert (tmp_path / "student.tflite").stat().st_size > 0


@pytest.mark.parametrize(
    "page",
    ["few_labels", pytest.param("own_photos", marks=pytest.mark.long)],
)
def test_the_python_blocks_of_a_page_run(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_blocks((ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8"))


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
