"""docs/reliability.md: every line names tests that exist, and all held."""

import re
import shlex
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
LINES = [
    [cell.strip() for cell in line.strip("|").split("|")]
    for line in (ROOT / "docs" / "reliability.md").read_text().splitlines()
    if re.match(r"\|.*`tests/", line)
]


def test_there_are_lines():
    assert len(LINES) > 10


@pytest.mark.parametrize("line", LINES, ids=[line[0][:30] for line in LINES])
def test_a_line_is_rerun_by_tests_that_exist(line):
    _, tried, held, command = line
    assert tried == held and int(tried.replace(",", "")) > 0
    words = shlex.split(command.strip("`"))
    files = [word for word in words if word.startswith("tests/")]
    names = []
    for file in files:
        names += re.findall(r"def (test_\w+)", (ROOT / file).read_text())
    if "-k" in words:
        asked = words[words.index("-k") + 1].split(" or ")
        for part in asked:
            assert any(part in name for name in names), part
