import re
import shutil

import pytest

from keras_ft import methods
from keras_ft.cli import compare
from keras_ft.cli.main import main
from keras_ft.experiments.comparison import trainings


@pytest.fixture(scope="module")
def words(distill_arguments, few_images):
    return [
        "compare",
        *distill_arguments[1:3],
        f"--dataset={few_images}",
        "--pixels=dataset",  # the teacher is not trained
        "--paraphrase_epochs=1",
        "--epochs=1",
        "--methods=none,kd,ft+at",
        "--seeds=2",
        "--noexport",
    ]


@pytest.fixture(scope="module")
def folder(words, finished, tmp_path_factory):
    """The comparison that Python made, continued by the same words."""
    path = tmp_path_factory.mktemp("runs") / "compare"
    shutil.copytree(finished.run_dir, path)
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
    assert "--methods=none,kd,ft+at" in text
    # The weights of all terms, and whose teacher it is.
    assert "recipe.at_beta" in text and "recipe.beta" in text
    assert "may have seen other images than the students" in text
    assert "learned from the same pass of the teacher" in text


def test_a_failure_is_in_the_exit_code_and_in_the_report(
    words, tmp_path, capsys, monkeypatch
):
    build = trainings.Trainings.build

    def built(self, method, *arguments):
        if method == "kd":
            raise MemoryError("no <room>")
        return build(self, method, *arguments)

    monkeypatch.setattr(trainings.Trainings, "build", built)
    few = ["--methods=none,kd", "--seeds=1", f"--run_dir={tmp_path}"]
    assert main([*words, *few]) == 2
    printed = capsys.readouterr()
    assert "2 trainings" not in printed.err
    assert "kd-seed0: MemoryError: no <room>" in printed.err
    text = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "kd, seed 0 failed: MemoryError: no &lt;room&gt;" in text


def test_words_kept_for_speed_agree_with_the_library():
    assert tuple(compare.METHODS.split(",")) == methods.METHODS
    assert compare.TEACHER_PASSES == trainings.TEACHER_PASSES
