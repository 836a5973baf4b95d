import json
import subprocess
import sys
import textwrap
import time

import pytest

from keras_ft import artifacts
from keras_ft.errors import InputError
from keras_ft.experiments.run_folder import RUN_FILE
from keras_ft.experiments.run_folder import RunFolder

SETTINGS = {"seed": 0, "recipe": {"rate": 0.5, "milestones": (3, 5)}}


def test_a_finished_phase_is_known_to_the_next_process(tmp_path):
    with RunFolder(tmp_path, SETTINGS, ["keras-ft", "demo"]) as run:
        assert not run.is_finished("teacher")
        artifacts.write_text(run.path / "labels.txt", "shirt\n")
        run.finish("teacher", ["labels.txt"], {"accuracy": 0.9})
    with RunFolder(tmp_path, SETTINGS) as run:
        assert run.is_finished("teacher")
        assert run.result("teacher") == {"accuracy": 0.9}
        run.verify("teacher")


def test_sessions_record_versions_and_times(tmp_path):
    with RunFolder(tmp_path, SETTINGS, ["keras-ft", "demo"]):
        pass
    with pytest.raises(KeyboardInterrupt):
        with RunFolder(tmp_path, SETTINGS):
            raise KeyboardInterrupt
    content = json.loads((tmp_path / RUN_FILE).read_text())
    whole, interrupted = content["sessions"]
    assert whole["command_line"] == ["keras-ft", "demo"]
    assert whole["started"] <= whole["finished"]
    assert {"python", "keras", "numpy", "tensorflow"} <= set(whole["versions"])
    assert "finished" not in interrupted


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"seed": 1}, "Invalid `seed`. Received: 1. Expected: 0"),
        ({"recipe": {"rate": 2.0}}, "Invalid `recipe.milestones`"),
        ({"epochs": 3}, "Invalid `epochs`. Received: 3. Expected: not set"),
    ],
)
def test_changed_settings_are_refused(tmp_path, changed, message):
    with RunFolder(tmp_path, SETTINGS) as run:
        run.finish("teacher", [], {})
    before = (tmp_path / RUN_FILE).read_bytes()
    with pytest.raises(InputError) as refused:
        with RunFolder(tmp_path, SETTINGS | changed):
            pass
    assert message in str(refused.value)
    assert "another --run_dir" in str(refused.value)
    assert (tmp_path / RUN_FILE).read_bytes() == before


def test_settings_may_change_until_there_is_a_result(tmp_path):
    with RunFolder(tmp_path, SETTINGS):
        pass
    with RunFolder(tmp_path, {"seed": 1}) as run:
        assert run.configuration == {"seed": 1}


def test_settings_are_fixed_by_the_first_checkpoint(tmp_path):
    with RunFolder(tmp_path, SETTINGS):
        pass
    artifacts.write_json(tmp_path / "checkpoints/teacher/state.json", {})
    with pytest.raises(InputError, match="seed"):
        with RunFolder(tmp_path, SETTINGS | {"seed": 1}):
            pass


def test_the_folder_is_free_again_after_a_refusal(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as run:
        run.finish("teacher", [], {})
    with pytest.raises(InputError):
        with RunFolder(tmp_path, {"seed": 1}):
            pass
    with RunFolder(tmp_path, SETTINGS):
        pass


def test_a_second_process_is_refused_quickly(tmp_path):
    script = textwrap.dedent("""
        import sys
        from keras_ft.experiments.run_folder import RunFolder
        with RunFolder(sys.argv[1], {"seed": 0}):
            print("held", flush=True)
            sys.stdin.read()
    """)
    other = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert other.stdout.readline() == "held\n"
    started = time.monotonic()
    with pytest.raises(InputError, match="no other process"):
        with RunFolder(tmp_path, {"seed": 0}):
            pass
    assert time.monotonic() - started < 1
    other.communicate("")
    with RunFolder(tmp_path, {"seed": 0}):
        pass


def test_a_damaged_run_file_is_refused_by_name(tmp_path):
    with RunFolder(tmp_path, SETTINGS):
        pass
    path = tmp_path / RUN_FILE
    path.write_text(path.read_text().replace('"seed": 0', '"seed": 1'))
    with pytest.raises(InputError, match="run.json"):
        with RunFolder(tmp_path, SETTINGS):
            pass


def test_a_damaged_artefact_is_refused_by_name(tmp_path):
    with RunFolder(tmp_path, SETTINGS) as run:
        artifacts.write_text(run.path / "labels.txt", "shirt\n")
        run.finish("teacher", ["labels.txt"], {})
        artifacts.write_text(run.path / "labels.txt", "skirt\n")
        with pytest.raises(InputError, match="labels.txt"):
            run.verify("teacher")


def test_opening_without_settings_needs_an_existing_run(tmp_path):
    with pytest.raises(InputError, match="an earlier run"):
        with RunFolder(tmp_path / "absent"):
            pass
    assert not (tmp_path / "absent").exists()
    with RunFolder(tmp_path, SETTINGS):
        pass
    with RunFolder(tmp_path) as run:
        assert run.configuration["seed"] == 0


def test_a_file_in_place_of_the_folder_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="another --run_dir"):
        with RunFolder(tmp_path / "file", SETTINGS):
            pass


def test_litter_of_a_killed_process_is_removed(tmp_path):
    (tmp_path / ".unfinished-00000000-student.keras").write_text("half")
    with RunFolder(tmp_path, SETTINGS):
        pass
    assert not list(tmp_path.glob(".unfinished*"))
