import re
import shutil

import pytest

from keras_ft.cli import compare
from keras_ft.cli.main import main
from keras_ft.experiments import comparison
from keras_ft.experiments.comparison import trainings


@pytest.fixture(scope="module")
def words(distill_arguments, few_images):
    return [
        "compare",
        *distill_arguments[1:3],
        f"--dataset={few_images}",
        "--batch_size=32",
        "--paraphrase_epochs=1",
        "--epochs=1",
        "--schedule=linear",
        "--methods=none,kd",
        "--seeds=2",
        "--noexport",
    ]


@pytest.fixture(scope="module")
def folder(words, tmp_path_factory):
    path = tmp_path_factory.mktemp("runs") / "compare"
    assert main([*words, f"--run_dir={path}"]) == 0
    return path


def test_it_prints_table_verdict_and_report(folder, words, tmp_path, capsys):
    copy = shutil.copytree(folder, tmp_path / "copy")
    assert main([*words, f"--run_dir={copy}"]) == 0
    out = capsys.readouterr().out
    assert "over plain, 95 % CI" in out
    told = r"^Seconds: .* phase 1; the teacher's pass took \d+ more"
    assert re.search(told, out, re.MULTILINE)
    assert re.search(r"^KD.* pt.*\(two seeds only\)$", out, re.MULTILINE)
    assert out.splitlines()[-1].startswith(str(copy / "report.html"))


def test_the_report_needs_nothing_else(folder):
    text = (folder / "report.html").read_text(encoding="utf-8")
    assert not re.search(r"<(script|link|iframe|object|img)\b", text)
    assert not re.search(r"@import|url\((?!#)|(src|href)=\"(?!#)", text)
    assert text.count("<svg") == 3 and "currentColor" in text
    for name in ("none-seed0", "kd-seed1", "KD", "plain", "One that reaches"):
        assert name in text, name
    assert "--methods=none,kd" in text
    # The weights of all terms, and whose teacher it is.
    assert "method_settings.at_beta" in text and "recipe.beta" in text
    assert "may have seen other images than the students" in text
    assert "learned from the same pass of the teacher" in text


def test_a_failure_is_in_the_exit_code_and_in_the_report(
    words, tmp_path, capsys, monkeypatch
):
    wrap = trainings.wrapped

    def wrapped(method, *arguments):
        if method.parts:
            raise MemoryError("no <room>")
        return wrap(method, *arguments)

    monkeypatch.setattr(trainings, "wrapped", wrapped)
    assert main([*words, f"--run_dir={tmp_path}", "--seeds=1"]) == 2
    printed = capsys.readouterr()
    assert "2 trainings" not in printed.err
    assert "kd-seed0: MemoryError: no <room>" in printed.err
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "kd, seed 0 failed: MemoryError: no &lt;room&gt;" in text


def test_words_kept_for_speed_agree_with_the_library():
    from keras_ft.experiments.comparison import teacher_outputs

    assert tuple(compare.METHODS.split(",")) == comparison.METHODS
    assert compare.TEACHER_PASSES == teacher_outputs.TEACHER_PASSES
