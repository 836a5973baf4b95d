"""`keras-ft tune` as a user runs it: killed, and with several processes."""

import csv
import json
import subprocess
import sys

import keras
import pytest

from keras_ft import artifacts
from keras_ft import data
from keras_ft import report
from keras_ft.cli import tune
from keras_ft.cli.main import main
from keras_ft.experiments import networks
from keras_ft.experiments.run_folder import read_content
from keras_ft.tuner import search
from keras_ft.tuner import settings as search_settings
from keras_ft.tuner import space
from keras_ft.tuner.checks import OBJECTIVES

pytestmark = [
    pytest.mark.filterwarnings("ignore:currentThread:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:getName:DeprecationWarning"),
]


def trials(folder):
    """The table without the time it took."""
    found = json.loads((folder / "trials.json").read_text("utf-8"))
    for trial in found["trials"]:
        del trial["seconds"]
    return found


def test_the_words_of_the_flags_are_those_of_the_package():
    assert tune.TUNERS == search_settings.TUNERS
    assert tune.OBJECTIVES == tuple(OBJECTIVES)
    assert tuple(tune.AXES) == search_settings.AXES
    assert tuple(map(float, tune.AXES["rates"].split(","))) == space.RATES


@pytest.mark.parametrize(
    ("flag", "fault"),
    [
        ("--betas=10..1000", "a grid is made"),
        ("--betas=1..2..3", "--betas"),
        ("--rates=0.5,much", "--rates"),
        ("--rates=0", "rate"),
        ("--ps=3", "ps"),
        ("--validation_fraction=0", "validation_fraction"),
        ("--rates=", "something to search"),
        ("--tuner=hyperband", "begins with for"),
    ],
)
def test_bad_flags_are_one_line(tmp_path, capsys, flag, fault):
    assert main(["tune", f"--run_dir={tmp_path / 'run'}", flag]) == 2
    error = capsys.readouterr().err
    assert fault in error and error.count("\n") == 1


@pytest.mark.slow
def test_a_search_leaves_table_report_and_student(
    search_words, tmp_path, capsys
):
    folder = tmp_path / "run"
    words = [*search_words, "--rates=0.001,0.5,1", f"--run_dir={folder}"]
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert "phase 1: paraphraser of rate 0.5 trained" in printed
    assert "rate 0.001: failed" in printed
    assert printed.splitlines()[-1].startswith(str(folder / "student.keras"))
    with open(folder / "trials.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["FAILED", *["COMPLETED"] * 2]
    content = trials(folder)
    best = max(float(row["score"]) for row in rows if row["score"])
    assert content["best_score"] == best
    student = keras.models.load_model(folder / "student.keras")
    assert student.output_shape == (None, 10)
    page = artifacts.verify(folder, "report.html").read_text("utf-8")
    assert "val_accuracy over rate" in page and page.count("<svg") == 1
    assert "leaves 0 of 12 channels" in page
    assert "One beta for all rates" in page
    assert "src=" not in page and "<script" not in page
    # Once more: all is known.
    assert main(words) == 0
    printed = capsys.readouterr().out
    assert printed.count(": done before") == 2 and "epoch 1/2 " not in printed
    assert trials(folder) == content
    assert content["best_epochs"] == content["epochs"] == 2
    assert main([*words, "--rates=0.25"]) == 2
    assert "rates" in capsys.readouterr().err


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "tuner",
    [
        "bayesian",
        *(
            pytest.param(tuner, marks=pytest.mark.long)
            for tuner in ("random", "hyperband")
        ),
    ],
)
def test_the_other_tuners_take_a_range_of_betas(search_words, tmp_path, tuner):
    folder = tmp_path / "run"
    words = ["--rates=0.5", "--betas=50..5000", f"--tuner={tuner}"]
    if tuner != "hyperband":
        words += ["--max_trials=2", "--epochs=1"]
    assert main([*search_words, *words, f"--run_dir={folder}"]) == 0
    found = trials(folder)["trials"]
    assert len(found) == 2 or tuner == "hyperband"
    assert {trial["status"] for trial in found} == {"COMPLETED"}
    assert all(50 <= trial["beta"] <= 5000 for trial in found)
    page = artifacts.verify(folder, "report.html").read_text("utf-8")
    assert "One beta for all rates" not in page


@pytest.mark.slow
@pytest.mark.long
def test_a_search_killed_at_random_moments(root, tmp_path):
    """Those of an event inside a training are in tests/experiments."""
    _run(
        root / "benchmarks" / "killed_search.py",
        "--toy",
        "--kills=3",
        f"--work={tmp_path / 'work'}",
        f"--out={tmp_path / 'out'}",
    )
    found = json.loads((tmp_path / "out.json").read_text("utf-8"))
    assert len(found["kills"]) == 3 and found["trained_twice"] == 0


@pytest.mark.slow
@pytest.mark.long
def test_chief_and_two_workers_find_what_one_process_finds(
    root, tmp_path, search_words
):
    command = [sys.executable, "-m", "keras_ft", *search_words]
    command += ["--rates=0.5,1", "--epochs=1"]
    launcher = root / "examples" / "launch_tuner.py"
    one, several = tmp_path / "one", tmp_path / "several"
    _run("-m", *command[2:], f"--run_dir={one}")
    flags = ["--workers=2", "--threads=2", "--"]
    output = _run(launcher, *flags, *command, f"--run_dir={several}")
    assert trials(several) == trials(one)
    # Each once, whichever worker it was; the chief ran the teacher.
    assert output.count("the teacher runs") == 1
    for rate in ("0.5", "1"):
        assert output.count(f"paraphraser of rate {rate} trained") == 1
        assert output.count(f"trial: rate {rate}: trained") == 1


@pytest.mark.parametrize(("trained", "says"), [(9, False), (1, True)])
def test_a_search_of_beginnings_says_so(trained, says):
    found = {
        "trials": [{}, {}],
        "objective": "val_accuracy",
        "best": {"rate": 0.5},
        "best_score": 0.8,
        "best_epochs": trained,
        "epochs": 9,
        "test_accuracy": 0.79,
        "test_examples": 2000,
    }
    told = report.search_headline(found)
    assert told.startswith("Best of 2 trials: rate 0.5, with")
    assert ("trained for 1 of 9 epochs only" in told) == says


def test_a_typo_costs_nothing_and_may_be_corrected(
    tmp_path, search_words, capsys
):
    folder = tmp_path / "run"
    words = [*search_words, "--rates=0.5", "--epochs=1", f"--run_dir={folder}"]
    assert main([*words, "--student_layer=featurez"]) == 2
    assert "Did you mean 'features'" in capsys.readouterr().err
    assert not (folder / "cache").exists()
    assert main([*words, "--student_layer=features"]) == 0


@pytest.mark.long
def test_pixels_scaled_otherwise_are_refused(
    tmp_path, search_words, capsys, monkeypatch
):
    words = [*search_words, "--rates=0.5", "--epochs=1"]
    words.append(f"--run_dir={tmp_path / 'run'}")
    words.remove("--pixels=dataset")
    first, other = (data.Normalization((0.4,), (std,)) for std in (0.3, 0.2))
    monkeypatch.setattr(networks, "recorded_normalization", lambda _: first)
    assert main(words) == 0
    monkeypatch.setattr(networks, "recorded_normalization", lambda _: other)
    assert main(words) == 2
    assert "with which this run was started" in capsys.readouterr().err


def test_a_worker_starts_without_its_torn_file(
    tmp_path, search_words, monkeypatch
):
    """keras-tuner reads that of an earlier start, and dies of a torn one."""
    folder = tmp_path / "run"
    own = folder / search.PROJECT / "worker0.json"
    other = own.with_name("worker1.json")
    own.parent.mkdir(parents=True)
    for path in (own, other):
        path.write_text('{"score": 0.', encoding="utf-8")
    for name, value in (
        ("TUNER_ID", "worker0"),
        ("ORACLE_IP", "localhost"),
        ("ORACLE_PORT", "1"),
    ):
        monkeypatch.setenv(f"KERASTUNER_{name}", value)
    found = []

    class Tuner:
        def search(self, verbose):
            found.extend((own.exists(), other.exists()))

    monkeypatch.setattr(search, "_tuner", lambda *_: Tuner())
    assert main([*search_words, f"--run_dir={folder}"]) == 0
    assert found == [False, True]


def _run(*arguments):
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-500:] + done.stderr[-2000:]
    return done.stdout


@pytest.mark.long
def test_few_labels_in_mixed_views(search_words, tmp_path):
    few = ["--labelled_examples=30", "--labelled_share=0.5"]
    words = [*search_words, *few, "--rates=0.5", "--augment=crop+cutmix"]
    assert main([*words, f"--run_dir={tmp_path / 'run'}"]) == 0
    content = read_content(tmp_path / "run")
    assert content["configuration"]["labelled_examples"] == 30
    assert content["configuration"]["augment"] == "crop+cutmix"
    assert content["notes"]["dataset"]["labelled_examples"] == 30
    found = json.loads((tmp_path / "run" / "trials.json").read_text())
    assert found["best"] == {"rate": 0.5}
