"""LiteRT.js, MediaPipe and examples/browser run our files in Chromium.

What they give is compared with LiteRT for Python on the same machine.
"""

import contextlib
import importlib.util
import json
import os
import shutil
import subprocess
import threading
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

from keras_ft import export
from keras_ft import zoo
from keras_ft.data import Normalization

SCRIPTS = Path(__file__).with_name("browser")
NAMES = ("bus", "cat", "cup", "fern", "shoe")
# Of probabilities. Measured in Chromium 156 on x86, LiteRT.js and MediaPipe:
# none 1.2e-7 and 5.4e-7; dynamic 1.2e-7 and 2.2e-4, where kernels round
# activations each in their own way; int8 nothing at all.
TOLERANCE = {"none": 1e-5, "dynamic": 5e-3, "int8": 0}

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="session")
def packages(root):
    """The folder in which npm installed what the browser runs."""
    named = os.environ.get("KERAS_FT_BROWSER")
    folder = Path(named or root / ".browser")
    if named is None and not (folder / "node_modules").is_dir():
        pytest.skip("no packages for the browser: make install-browser")
    return folder.resolve()


@pytest.fixture(scope="session")
def chromium():
    """The browser."""
    names = ("chromium", "chromium-browser", "google-chrome")
    found = os.environ.get("CHROMIUM") or next(
        filter(None, map(shutil.which, names)), None
    )
    if found is None:
        pytest.skip("no Chromium: apt-get install chromium, or set CHROMIUM")
    return found


@pytest.fixture(scope="session")
def node(packages, chromium):
    """Runs a script of tests/runtimes/browser, returns what it prints."""

    def run(script, *arguments):
        done = subprocess.run(
            ["node", SCRIPTS / script, packages, *map(str, arguments)],
            env={**os.environ, "CHROMIUM": chromium},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        return json.loads(done.stdout.splitlines()[-1])

    return run


@pytest.fixture(scope="session")
def site(root, packages):
    """Serves a page and a model while the block runs; gives its address."""
    script = root / "examples" / "browser" / "serve.py"
    spec = importlib.util.spec_from_file_location("serve", script)
    serve = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(serve)

    @contextlib.contextmanager
    def serving(model, page=serve.PAGE):
        server = serve.server(model, packages / "node_modules", page)
        with server:
            thread = threading.Thread(target=server.serve_forever)
            thread.start()
            try:
                yield f"http://localhost:{server.server_port}/"
            finally:
                server.shutdown()
                thread.join()

    return serving


@pytest.fixture
def tolerance(request):
    """How far the exported file's probabilities may be from LiteRT's."""
    quantization = request.node.callspec.params["exported"]
    if quantization not in TOLERANCE:
        pytest.skip(f"{quantization}: LiteRT.js takes no uint8")
    return TOLERANCE[quantization]


@pytest.fixture(scope="session")
def gray_student(pictures, tmp_path_factory):
    """A file for gray images, with its labels beside it."""
    keras.utils.set_random_seed(0)
    student = zoo.resnet8(classes=5, input_shape=(32, 32, 1))
    student.layers[-1].kernel.assign(student.layers[-1].kernel * 20.0)
    path = tmp_path_factory.mktemp("gray") / "student.tflite"
    export.to_tflite(
        student,
        path,
        samples=pictures[..., :1],
        normalization=Normalization((0.5,), (0.5,)),
    )
    path.with_name("labels.txt").write_text("\n".join(NAMES))
    return path


def test_runtimes_find_what_litert_finds(
    exported, pictures, tolerance, node, site, tmp_path
):
    model, expected = exported
    file = tmp_path / "pictures.json"
    file.write_text(json.dumps([*map(_described, pictures)]))
    with site(model, page=SCRIPTS) as address:
        found = node("runtimes.mjs", address, file)
    named = [dict(categories) for categories in found["mediapipe"]]
    for probabilities in (
        np.array(found["litert"]),
        np.array([[scores[name] for name in NAMES] for scores in named]),
    ):
        np.testing.assert_allclose(
            probabilities, expected, rtol=0, atol=tolerance
        )
        clear = _margins(expected) > 2 * tolerance
        assert clear.sum() > len(pictures) / 2
        np.testing.assert_array_equal(
            probabilities.argmax(1)[clear], expected.argmax(1)[clear]
        )


def test_the_page_shows_what_litert_finds(
    exported, pictures, tolerance, node, site, tmp_path
):
    model, expected = exported
    files = _saved(pictures[:6], tmp_path)
    with site(model) as address:
        empty, *shown = node("example.mjs", address, *files)
    assert empty["model"] == "5 classes from 32 × 32 pixels, RGB"
    assert not empty["scores"] and not empty["message"]
    _assert_shown(shown, expected[:6], tolerance)


def test_the_page_turns_colors_gray_as_pillow_does(
    gray_student, pictures, node, site, tmp_path
):
    files = _saved(pictures[:4], tmp_path)
    gray = [np.asarray(Image.open(file).convert("L")) for file in files]
    expected = export.run_in_litert(
        gray_student, np.stack(gray).astype("float32")[..., np.newaxis]
    )
    with site(gray_student) as address:
        empty, *shown = node("example.mjs", address, *files)
    assert empty["model"] == "5 classes from 32 × 32 pixels, gray"
    # Pillow's weights have 16 bits: a pixel in thousands rounds the other way.
    _assert_shown(shown, expected, 1e-3)


def test_the_page_says_what_it_cannot_read(
    gray_student, pictures, node, site, tmp_path
):
    text = tmp_path / "notes.txt"
    text.write_text("No image.")
    damaged = tmp_path / "damaged.png"
    damaged.write_bytes(b"Neither this.")
    (good,) = _saved(pictures[:1], tmp_path)
    with site(gray_student) as address:
        _, *shown = node("example.mjs", address, good, text, damaged, good)
    for state in shown[2:4]:
        assert state["message"].startswith("“notes.txt” is no image.")
        assert not state["scores"]
    for state in shown[4:6]:
        assert "cannot read “damaged.png”" in state["message"]
        assert not state["scores"]
    for state in shown[:2] + shown[6:]:
        assert state["scores"]
        assert not state["message"]


def test_the_page_says_that_a_model_does_not_load(
    gray_student, node, site, tmp_path
):
    half = tmp_path / "half.tflite"
    content = gray_student.read_bytes()
    half.write_bytes(content[: len(content) // 2])
    with site(half) as address:
        (broken,) = node("example.mjs", address)
    # The file is whole, but nothing in it or beside it names its classes.
    alone = tmp_path / "alone.tflite"
    alone.write_bytes(content)
    with site(alone) as address:
        (nameless,) = node("example.mjs", address)
    for state in (broken, nameless):
        assert state["model"] == "There is no model to ask."
        assert state["message"].startswith("The model could not be loaded:")
    assert "the server has no labels.txt" in nameless["message"]


def _described(picture):
    height, width, _ = picture.shape
    pixels = picture.ravel().tolist()
    return {"width": width, "height": height, "pixels": pixels}


def _saved(pictures, folder):
    files = [folder / f"{i}.png" for i in range(len(pictures))]
    for picture, file in zip(pictures, files, strict=True):
        Image.fromarray(picture).save(file)
    return files


def _margins(probabilities):
    *_, second, first = np.sort(probabilities).T
    return first - second


def _assert_shown(shown, expected, tolerance):
    """Each picture was given twice: chosen with the keyboard, and dropped."""
    assert len(shown) == 2 * len(expected)
    for state, probabilities in zip(shown, expected.repeat(2, 0), strict=True):
        assert not state["message"]
        assert float(state["time"]) > 0
        scores = {name: float(text[:-1]) for name, text in state["scores"]}
        np.testing.assert_allclose(
            [scores[name] / 100 for name in NAMES],
            probabilities,
            rtol=0,
            atol=5e-4 + tolerance + 1e-6,  # Percents with one decimal.
        )
        if _margins(probabilities) > 2 * tolerance:
            assert next(iter(scores)) == NAMES[probabilities.argmax()]
