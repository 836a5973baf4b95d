import hashlib
import json
import os
import signal
import subprocess
import sys

import pytest

from keras_ft import artifacts
from keras_ft.errors import InputError


def test_the_old_file_survives_a_failing_writer(tmp_path):
    target = tmp_path / "student.keras"
    target.write_text("old")
    with pytest.raises(RuntimeError, match="disk full"):
        with artifacts.atomic_path(target) as temporary:
            temporary.write_text("half")
            raise RuntimeError("disk full")
    assert target.read_text() == "old"
    assert os.listdir(tmp_path) == ["student.keras"]


def test_temporary_name_keeps_folder_and_ending(tmp_path):
    target = tmp_path / "new" / "epoch.weights.h5"
    with artifacts.atomic_path(target) as temporary:
        assert temporary.parent == target.parent
        assert temporary.name.endswith(".weights.h5")
        assert not target.exists()
        temporary.write_text("whole")
    assert target.read_text() == "whole"


def test_a_folder_is_refused_as_target(tmp_path):
    with pytest.raises(InputError, match="Name a file"):
        with artifacts.atomic_path(tmp_path):
            pass


def test_a_killed_writer_leaves_the_old_file_and_removable_litter(tmp_path):
    target = tmp_path / "metrics.json"
    target.write_text("old")
    script = (
        "import os, sys, signal\n"
        "from keras_ft import artifacts\n"
        "with artifacts.atomic_path(sys.argv[1]) as temporary:\n"
        "    temporary.write_text('half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    killed = subprocess.run([sys.executable, "-c", script, target])
    assert killed.returncode == -signal.SIGKILL
    assert target.read_text() == "old"
    assert len(os.listdir(tmp_path)) == 2
    artifacts.remove_unfinished(tmp_path)
    assert os.listdir(tmp_path) == ["metrics.json"]


def test_sha256_is_the_standard_one(tmp_path):
    path = tmp_path / "abc"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert artifacts.sha256(path) == (
        "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    )


@pytest.mark.parametrize("sealed", [False, True])
def test_json_round_trip(tmp_path, sealed):
    path = tmp_path / "state.json"
    content = {"epoch": 3, "rows": [{"loss": 0.1}], "name": "schöne Höhe"}
    artifacts.write_json(path, content, sealed=sealed)
    assert artifacts.read_json(path, sealed=sealed) == content


def test_truncated_json_is_refused_by_name(tmp_path):
    path = tmp_path / "state.json"
    artifacts.write_json(path, {"epoch": 3})
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(InputError, match="state.json"):
        artifacts.read_json(path)


def test_missing_json_is_refused_by_name(tmp_path):
    with pytest.raises(InputError, match="state.json.*no such file"):
        artifacts.read_json(tmp_path / "state.json")


def test_every_flipped_bit_of_sealed_json_is_found_or_harmless(tmp_path):
    path = tmp_path / "state.json"
    content = {"epoch": 3, "loss": 0.125}
    artifacts.write_json(path, content, sealed=True)
    whole = path.read_bytes()
    refused = 0
    for bit in range(8 * len(whole)):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        try:
            assert artifacts.read_json(path, sealed=True) == content
        except InputError:
            refused += 1
    # Flips in white space may be harmless; those in the content are not.
    assert refused > 0.9 * 8 * len(json.dumps(content))


def test_verify_accepts_what_was_recorded(tmp_path):
    (tmp_path / "labels.txt").write_text("shirt\n")
    artifacts.record(tmp_path, ["labels.txt"])
    assert artifacts.verify(tmp_path, "labels.txt") == tmp_path / "labels.txt"
    expected = hashlib.sha256(b"shirt\n").hexdigest()
    assert artifacts.manifest(tmp_path) == {"labels.txt": expected}


def test_recording_keeps_earlier_entries(tmp_path):
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
        artifacts.record(tmp_path, [name])
    assert list(artifacts.manifest(tmp_path)) == ["a", "b"]


def test_a_flipped_bit_is_refused_by_name(tmp_path):
    path = tmp_path / "student.keras"
    path.write_bytes(bytes(100))
    artifacts.record(tmp_path, ["student.keras"])
    damaged = bytearray(100)
    damaged[50] = 1
    path.write_bytes(damaged)
    with pytest.raises(InputError, match="student.keras.*damaged"):
        artifacts.verify(tmp_path, "student.keras")


def test_missing_and_unrecorded_files_are_refused(tmp_path):
    path = tmp_path / "student.keras"
    path.write_bytes(b"weights")
    with pytest.raises(InputError, match="never finished"):
        artifacts.verify(tmp_path, "student.keras")
    artifacts.record(tmp_path, ["student.keras"])
    path.unlink()
    with pytest.raises(InputError, match="no such file"):
        artifacts.verify(tmp_path, "student.keras")


def test_an_edited_manifest_is_refused(tmp_path):
    (tmp_path / "labels.txt").write_text("shirt\n")
    artifacts.record(tmp_path, ["labels.txt"])
    path = tmp_path / artifacts.MANIFEST
    path.write_text(path.read_text().replace("labels", "tables"))
    with pytest.raises(InputError, match="manifest.json"):
        artifacts.verify(tmp_path, "labels.txt")
