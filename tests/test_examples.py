"""The examples run as a user runs them, with less data."""

import importlib
import json
import subprocess
import sys
import urllib.error
import urllib.request

import numpy as np
import pytest

SMALL = ["--epochs=1", "--train_examples=128"]


@pytest.mark.long
def test_quickstart(root, tmp_path):
    file = tmp_path / "student.tflite"
    more = ["--paraphrase_epochs=1", f"--out={file}"]
    output = _run(root / "examples" / "quickstart.py", *SMALL, *more)
    assert "student distilled:" in output and "student alone:" in output
    assert file.read_bytes()[4:8] == b"TFL3"


@pytest.mark.long
def test_own_transfer(root):
    output = _run(root / "examples" / "own_transfer.py", *SMALL)
    assert "similarity_loss" in output and "<- default" in output


@pytest.mark.long
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


@pytest.mark.long
def test_dense_task(root, tmp_path):
    script = root / "examples" / "dense_task" / "dense_task.py"
    out, picture = tmp_path / "found", tmp_path / "scenes.png"
    less = ["epochs", "teacher_epochs", "paraphrase_epochs", "seeds"]
    small = [f"--{name}=1" for name in less] + ["--scenes=64"]
    small += ["--test_scenes=32", "--width=2", "--teacher_width=4"]
    small += ["--labelled_scenes=8", "--methods=none,kd,ft,ft+kd"]
    file = tmp_path / "segmenter.tflite"
    small += [f"--tflite={file}"]
    output = _run(script, *small, f"--out={out}", f"--picture={picture}")
    assert "8 scenes have classes" in output
    assert "of the pixels as Keras does" in output
    assert file.read_bytes()[4:8] == b"TFL3"
    assert "one seed shows nothing" in output and "factor_loss" in output
    found = json.loads(out.with_suffix(".json").read_text("utf-8"))
    assert found["settings"]["test_scenes"] == 32
    assert all(0 < value < 1 for (value,) in found["mean_iou"].values())
    assert "| 0 | " in out.with_suffix(".md").read_text("utf-8")
    assert picture.read_bytes()[1:4] == b"PNG"


def test_dense_task_s_table(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "examples" / "dense_task")
    outcome = importlib.import_module("outcome")
    values = {"plain": [0.30, 0.31, 0.32], "FT": [0.31, 0.322, 0.331]}
    lines = outcome.table(values).splitlines()
    assert "| 1 | 31.00% | 32.20% |" in lines
    assert "| mean | 31.00% | 32.10% |" in lines
    # 1.1 and 4.303 (t of 2 degrees of freedom) times 0.1 over sqrt(3).
    assert lines[-1] == "- FT +1.1 pt over plain, 95 % CI [0.9, 1.3]."
    lines = outcome.table(values | {"both": [0.33, 0.343, 0.35]}).splitlines()
    assert lines[-2] == "- both +3.1 pt over plain, 95 % CI [2.7, 3.5]."
    assert lines[-1] == "- both +2.0 pt over FT, 95 % CI [1.8, 2.2]."


def test_dense_task_s_scenes(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "examples" / "dense_task")
    scenes = importlib.import_module("scenes")
    garments = np.full((3, 28, 28, 1), 5.0, "float32")
    garments[:, :7] = 0.0
    labels = np.array([4, 7, 9])
    made = scenes.Scenes((garments, labels), scenes=32, seed=0)
    images, classes = made[1]
    assert len(made) == 2 and images.shape == (16, 48, 48, 1)
    assert set(np.unique(classes)) == {0, 5, 8, 10}
    # Exactly the pixels with a class are a garment's.
    np.testing.assert_array_equal(images[..., 0] == 5.0, classes > 0)
    np.testing.assert_array_equal(made[1][0], images)
    made.on_epoch_end()
    assert not np.array_equal(made[1][0], images)


def test_dense_task_s_few_classes(root, monkeypatch):
    monkeypatch.syspath_prepend(root / "examples" / "dense_task")
    scenes = importlib.import_module("scenes")
    photos = np.random.default_rng(0).random((5, 28, 28, 1)), np.arange(5)
    few = scenes.Scenes(photos, 64, seed=3, pool=2, labelled_per_batch=4)
    images, classes = few[0]
    assert (classes[:4] >= 0).all() and (classes[4:] == -1).all()
    few.on_epoch_end()
    again, _ = few[3]
    known = {scene.tobytes() for scene in (*images[:4], *again[:4])}
    assert len(known) == 2
    assert len({scene.tobytes() for scene in (*images[4:], *again[4:])}) == 24
    alone = scenes.Scenes(photos, 64, seed=3, pool=2)
    assert (alone[0][1] >= 0).all()
    assert {scene.tobytes() for scene in alone[1][0]} == known


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
