"""The examples run as a user runs them, with less data."""

import subprocess
import sys
import urllib.error
import urllib.request

import pytest

SMALL = ["--epochs=1", "--train_examples=128"]


@pytest.mark.slow
def test_quickstart(root, tmp_path):
    file = tmp_path / "student.tflite"
    more = ["--paraphrase_epochs=1", f"--out={file}"]
    output = _run(root / "examples" / "quickstart.py", *SMALL, *more)
    assert "student distilled:" in output and "student alone:" in output
    assert file.read_bytes()[4:8] == b"TFL3"


@pytest.mark.slow
def test_own_transfer(root):
    output = _run(root / "examples" / "own_transfer.py", *SMALL)
    assert "similarity_loss" in output and "<- default" in output


@pytest.mark.slow
def test_cached_training(root, tmp_path):
    script = root / "examples" / "cached_training.py"
    more = [f"--cache={tmp_path / 'cache'}", "--paraphrase_epochs=1"]
    more += ["--views=2"]
    output = _run(script, *SMALL, *more, "--rate=0.5")
    assert "rate 0.5: " in output
    assert "feature cache: batch 22/22" in output
    # The second one finds all that was computed.
    output = _run(script, *SMALL, *more, "--rate=1")
    assert "rate 1: " in output
    assert "feature cache: batch" not in output


def test_browser_s_server(root, tmp_path):
    script = root / "examples" / "browser" / "serve.py"
    model = tmp_path / "student.tflite"
    program = "node_modules/@litertjs/core/litert.wasm"
    words = [sys.executable, script, f"--model={model}", "--port=0"]
    words += [f"--packages={tmp_path / 'node_modules'}"]
    missing = subprocess.run(words, capture_output=True, text=True)
    assert f"no model at {model}" in missing.stderr
    model.write_bytes(b"TFL3")
    missing = subprocess.run(words, capture_output=True, text=True)
    assert "no LiteRT.js: run `npm ci" in missing.stderr
    (tmp_path / program).parent.mkdir(parents=True)
    (tmp_path / program).write_bytes(b"asm")
    with subprocess.Popen(words, stdout=subprocess.PIPE, text=True) as server:
        try:
            address = server.stdout.readline().split()[0]
            for path, kind, content in (
                ("", "text/html", b"<!doctype html>"),
                ("page.js", "text/javascript", b"// The page"),
                ("model.tflite", "application/octet-stream", b"TFL3"),
                (program, "application/wasm", b"asm"),
            ):
                with urllib.request.urlopen(address + path) as answer:
                    assert answer.headers.get_content_type() == kind
                    policy = answer.headers["Cross-Origin-Embedder-Policy"]
                    assert policy == "require-corp"
                    assert answer.read().startswith(content)
            for path in ("labels.txt", "node_modules/", "../quickstart.py"):
                with pytest.raises(urllib.error.HTTPError, match="404"):
                    urllib.request.urlopen(address + path)
        finally:
            server.terminate()


def _run(*arguments):
    words = [sys.executable, *map(str, arguments)]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout
