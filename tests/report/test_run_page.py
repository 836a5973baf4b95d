import re
import shutil
from html.parser import HTMLParser

import pytest

from keras_ft import artifacts
from keras_ft import report
from keras_ft.errors import InputError

VOID = {"meta", "img", "br", "link"}


class Page(HTMLParser):
    """Checks nesting and collects what a page would load or run."""

    def __init__(self, text):
        super().__init__()
        self.open, self.sources, self.tags = [], [], set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag not in VOID:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href", "xlink:href"):
                self.sources.append(value)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


@pytest.fixture(scope="module")
def text(finished_run):
    return (finished_run / report.REPORT).read_text(encoding="utf-8")


def test_the_page_is_well_nested_and_needs_nothing_else(text):
    page = Page(text)
    assert not page.open
    assert not page.tags & {"script", "link", "iframe", "object"}
    assert "svg" in page.tags and "img" in page.tags
    for source in page.sources:
        assert source.startswith(("data:image/png;base64,", "#")), source
    assert not re.search(r"@import|url\((?!#)", text)


def test_it_names_every_network_file_and_setting(text, finished_run):
    for name in (
        "Teacher",
        "Student, Factor Transfer",
        "Student, labels only",
        "Student, soft targets (KD)",
        "recipe.beta",
        "Ankle boot",
        "task_loss",
        "factor_loss",
        "Phase 1",
        "student factor",
        "prefers-color-scheme: dark",
    ):
        assert name in text, name
    for name, digest in artifacts.manifest(finished_run).items():
        if name != report.REPORT:
            assert digest in text, name


def test_curves_take_the_color_of_the_page(text):
    assert "currentColor" in text
    assert "#123456" not in text


def test_writing_again_gives_the_same_page(finished_run, tmp_path, text):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    assert report.write(copy) == copy / report.REPORT
    assert (copy / report.REPORT).read_text(encoding="utf-8") == text


def test_names_are_escaped(finished_run, tmp_path):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    run = artifacts.read_json(copy / "run.json", sealed=True)
    run["configuration"]["student"] = "<b>5 & 6</b>"
    artifacts.write_json(copy / "run.json", run, sealed=True)
    page = report.write(copy).read_text(encoding="utf-8")
    assert "&lt;b&gt;5 &amp; 6&lt;/b&gt;" in page


def test_a_folder_that_is_no_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="run folder"):
        report.write(tmp_path)


def test_an_edited_metrics_file_is_refused(finished_run, tmp_path):
    copy = shutil.copytree(finished_run, tmp_path / "copy")
    (copy / "metrics.json").write_text('{"ft_accuracy": 0.99}')
    with pytest.raises(InputError, match="metrics.json"):
        report.write(copy)
