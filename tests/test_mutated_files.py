"""Files changed at random are refused in one sentence, or do no harm."""

import json
import runpy
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).with_name("mutated_files.py")
SAMPLE = 50
# Of a file, beside the 0.7 GB that TensorFlow takes: 1 GB in all.
MEMORY = 256 * 2**20
SECONDS = 10


def test_a_sample_of_changed_files_is_answered(finished_run, tmp_path):
    script = runpy.run_path(str(SCRIPT))
    place = script["Place"](tmp_path, finished_run)
    refused = dict.fromkeys(script["KINDS"], 0)
    for number in range(SAMPLE):
        kind, (words, read) = place.changed(number)
        code, said = script["answer"](words, read, as_command=False)
        assert not script["complaint"](code, said), (number, kind, said)
        refused[kind] += code == 2
    assert min(refused.values()) > SAMPLE / len(refused) / 3, refused


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 2_000, 250))
def test_commands_answer_changed_files(first, finished_run):
    complaint = runpy.run_path(str(SCRIPT))["complaint"]
    done = subprocess.run(
        [sys.executable, SCRIPT, finished_run, str(first), "250"],
        stdout=subprocess.PIPE,
        text=True,
        timeout=250 * SECONDS,
    )
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    # A file that ends the process is the one after the last.
    assert len(rows) == 250 and done.returncode == 0, rows[-1:]
    for row in rows:
        assert not complaint(row["code"], row["said"]), row
        assert row["seconds"] < SECONDS and row["memory"] < MEMORY, row
