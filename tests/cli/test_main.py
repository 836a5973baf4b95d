import importlib
import os
import signal
import subprocess
import sys

import pytest
from absl import flags

from keras_ft.cli import flags as shared_flags
from keras_ft.cli.main import COMMANDS
from keras_ft.cli.main import main
from keras_ft.reading import FACTOR


def one_line(capsys):
    """The only line on standard error."""
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert len(lines) == 1, captured.err
    assert lines[0].startswith("keras-ft: error: ")
    return lines[0]


@pytest.mark.parametrize("words", [[], ["--help"], ["help"]])
def test_the_overview_has_every_command_on_one_line(capsys, words):
    assert main(words) == 0
    lines = capsys.readouterr().out.splitlines()
    for name, text in COMMANDS.items():
        assert [line for line in lines if line.split() == [name, *text.split()]]


@pytest.mark.parametrize("name", COMMANDS)
def test_help_of_a_command_is_worth_reading(capsys, name):
    assert main([name, "--help"]) == 0
    text = capsys.readouterr().out
    assert "examples:\n  keras-ft " + name in text
    assert "(default: " in text
    assert all(len(line) <= 80 for line in text.splitlines())
    values = flags.FlagValues()
    importlib.import_module(f"keras_ft.cli.{name}").define(values)
    for flag in values:
        assert len(values[flag].help.split()) > 3, flag


def test_help_does_not_start_tensorflow():
    script = (
        "import sys; from keras_ft.cli import main; main.main(['--help']); "
        "main.main(['distill', '--help']); "
        "assert 'tensorflow' not in sys.modules"
    )
    subprocess.run(
        [sys.executable, "-c", script], check=True, stdout=subprocess.DEVNULL
    )


def test_commands_define_nothing_global():
    before = set(flags.FLAGS)
    for name in COMMANDS:
        values = flags.FlagValues()
        importlib.import_module(f"keras_ft.cli.{name}").define(values)
    assert set(flags.FLAGS) == before


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["distil"], "Did you mean distill?"),
        (["nonsense"], "keras-ft --help"),
        (["taps", "--modle=x"], "Did you mean --model?"),
        (["taps", "resnet8"], "Write --flag=value"),
        (["taps", "--model=resnet21"], "Did you mean resnet"),
        (["distill", "--epochs=0"], "--epochs=0"),
        (["distill", "--epochs=many"], "--epochs=many"),
        (["distill", "--recipe=offical"], "offical"),
        (["distill", "--beta=high"], "or auto"),
        (["distill", "--beta=-1"], "or auto"),
        (["distill", "--beta_ratio=2"], "--beta=auto"),
        (["compare", "--beta_ratio=2"], "--beta=auto"),
        (["distill", "--reduction=sum"], "0.244 under sum"),
        (["tune", "--reduction=relative"], "--betas"),
        (["tune", "--betas=auto"], "10..1000"),
        (["distill", "--baselines=crd"], "ft, fitnet, at, kd"),
        (["distill", "--method=ft+ft"], "--method"),
        (["distill", "--method=alone+kd"], "--method"),
        (["distill", "--quantization=int4"], "int8"),
        (["export"], "exactly one of --run_dir and --student"),
        (["export", "--student=s.keras", "--compression=qat"], "--run_dir"),
        (["export", "--run_dir=r", "--epochs=3"], "Add --compression"),
    ],
)
def test_bad_input_is_one_line_and_code_2(capsys, words, expected):
    assert main(words) == 2
    assert expected in one_line(capsys)


def test_ctrl_c_says_how_to_go_on(capsys, monkeypatch):
    from keras_ft.cli import taps

    def interrupted(values, command_line):
        raise KeyboardInterrupt

    monkeypatch.setattr(taps, "run", interrupted)
    assert main(["taps"]) == 130
    assert "same command again" in capsys.readouterr().err


def test_sigterm_says_what_ctrl_c_says(capsys, monkeypatch):
    before = signal.getsignal(signal.SIGTERM)

    def terminate(*_):
        signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr("keras_ft.cli.main._dispatch", terminate)
    assert main(["demo"]) == 128 + signal.SIGTERM
    assert "Run the same command again" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_output_that_nobody_reads_ends_quietly():
    read, write = os.pipe()
    os.close(read)
    program = [sys.executable, "-m", "keras_ft", "--help"]
    with os.fdopen(write, "wb") as closed:
        ended = subprocess.run(program, stdout=closed, stderr=subprocess.PIPE)
    assert ended.returncode == 141
    assert ended.stderr == b""


@pytest.mark.parametrize("flag", ["run_dir", "dataset", "teacher"])
def test_a_flag_with_nothing_behind_it_is_refused(capsys, flag):
    assert main(["distill", f"--{flag}="]) == 2
    assert f"--{flag}" in one_line(capsys)


def test_limits_are_raised_for_one_command(monkeypatch):
    from keras_ft.cli import taps

    seen = []
    monkeypatch.delenv(FACTOR, raising=False)
    monkeypatch.setattr(taps, "run", lambda *_: seen.append(os.getenv(FACTOR)))
    assert main(["taps", "--file_limits=10"]) == 0
    assert main(["taps"]) == 0
    assert seen == ["10.0", None]


def test_a_defect_is_not_hidden(monkeypatch):
    from keras_ft.cli import taps

    def broken(values, command_line):
        raise ZeroDivisionError

    monkeypatch.setattr(taps, "run", broken)
    with pytest.raises(ZeroDivisionError):
        main(["taps"])


def test_words_kept_for_speed_agree_with_the_library():
    from keras_ft import losses
    from keras_ft import methods
    from keras_ft import recipes
    from keras_ft.cli import compare
    from keras_ft.data import augmentation
    from keras_ft.experiments.comparison import trainings
    from keras_ft.models import beta_suggestion

    assert shared_flags.AUGMENTATIONS == augmentation.STEPS
    assert shared_flags.RECIPES == recipes.Recipe.names()
    assert shared_flags.TERMS == tuple(methods.TITLES)
    assert compare.METHODS.split(",") == list(methods.METHODS)
    assert compare.TEACHER_PASSES == trainings.TEACHER_PASSES
    assert shared_flags.SCHEDULES == recipes.SCHEDULES
    official = recipes.Recipe.preset("official")
    for name, (default, _) in shared_flags.WEIGHTS.items():
        assert getattr(official, name) == default
    assert shared_flags.REDUCTIONS == losses.REDUCTIONS
    assert shared_flags.BETA_RATIO == beta_suggestion.RATIO


def test_version(capsys):
    from keras_ft import __version__

    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"keras-ft {__version__}\n"
