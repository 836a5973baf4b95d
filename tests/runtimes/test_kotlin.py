"""A bundle's Kotlin compiles, and feeds LiteRT what Python feeds it.

The stubs stand in for Android and for LiteRT's Kotlin API. They run no
network: an image other than those that LiteRT was fed here is an error.
"""

import json
import os
import shutil
import subprocess
from pathlib import Path

import keras
import numpy as np
import PIL.Image
import pytest

from keras_ft import export
from keras_ft import zoo

CLASSES = ("bus", "cat", "cup", "fern", "shoe")
HERE = Path(__file__).with_name("kotlin")
# A wrong order of colors, which no compiler sees.
SWAPPED = {"shr 16": "shr 0", "(color and 0xFF)": "(color shr 16 and 0xFF)"}

pytestmark = [pytest.mark.slow, pytest.mark.long]


@pytest.fixture(scope="session")
def kotlin(root):
    """The folder of npm's kotlin-compiler."""
    named = os.environ.get("KERAS_FT_KOTLIN")
    folder = Path(named or root / ".kotlin/node_modules/kotlin-compiler")
    if named is None and not (folder / "bin/kotlinc").is_file():
        pytest.skip("no Kotlin compiler: make install-kotlin")
    if shutil.which("java") is None:
        pytest.skip("no Java, which Kotlin's compiler runs on")
    return folder


@pytest.fixture(scope="session")
def kotlinc(kotlin):
    """Compiles, with warnings as errors; returns what went wrong."""

    def compile_files(sources, target, *classpath):
        words = [kotlin / "bin/kotlinc", "-Werror", "-d", target]
        if classpath:
            words += ["-cp", os.pathsep.join(map(str, classpath))]
        done = subprocess.run(
            [*words, *sources], capture_output=True, text=True
        )
        return "" if done.returncode == 0 else done.stderr or "no reason"

    return compile_files


@pytest.fixture(scope="session")
def stubs(kotlinc, tmp_path_factory):
    """Android and LiteRT, as far as the bundle uses them."""
    path = tmp_path_factory.mktemp("stubs") / "stubs.jar"
    assert kotlinc([HERE / "stubs"], path) == ""
    return path


def bundled(folder, channels, pictures):
    """A bundle of that many channels in a package of its own."""
    keras.utils.set_random_seed(0)
    student = zoo.resnet8(classes=5, input_shape=(32, 32, channels))
    head = student.layers[-1]
    head.kernel.assign(head.kernel * 20.0)
    export.bundle(
        student,
        folder,
        "dynamic",
        samples=pictures[..., :channels],
        normalization=Pixels(channels),
        class_names=CLASSES,
        package=f"com.example.{folder.name}",
        min_agreement=0.8,
    )
    return folder


class Pixels:
    """0..255 to about -1..1."""

    def __init__(self, channels):
        self.channels = channels

    def scale_and_shift(self):
        return (
            np.full(self.channels, 1 / 127.5, "float32"),
            np.full(self.channels, -1.0, "float32"),
        )


@pytest.fixture(scope="session")
def bundles(pictures, tmp_path_factory):
    """Bundles for colors, for grey, and one whose code was spoilt."""
    folder = tmp_path_factory.mktemp("bundles")
    rgb = bundled(folder / "rgb", 3, pictures)
    bundled(folder / "grey", 1, pictures)
    swapped = shutil.copytree(rgb, folder / "swapped")
    for name in ("Classifier.kt", "GoldenTest.kt"):
        text = (swapped / name).read_text()
        text = text.replace("com.example.rgb", "com.example.swapped")
        if name == "Classifier.kt":
            for right, wrong in SWAPPED.items():
                assert text.count(right) == 1
                text = text.replace(right, wrong)
        (swapped / name).write_text(text)
    for bundle in folder.iterdir():
        photo = (HERE / "PhotoTest.kt").read_text()
        photo = photo.replace("PACKAGE", f"com.example.{bundle.name}")
        (bundle / "PhotoTest.kt").write_text(photo)
        (bundle / "Usage.kt").write_text(usage(bundle))
        remember(bundle)
    return folder


def usage(bundle):
    """The README's snippet, in a function."""
    lines = (bundle / "README.md").read_text().split("```kotlin\n")[1]
    return "\n".join(
        [
            f"package com.example.{bundle.name}",
            "import android.content.Context",
            "import android.graphics.Bitmap",
            "import android.util.Log",
            "fun use(context: Context, bitmap: Bitmap) {",
            lines.split("```")[0],
            "}",
        ]
    )


def remember(bundle):
    """Write down for the stub what LiteRT is fed and answers."""
    golden = json.loads((bundle / "golden/golden.json").read_text())
    images = []
    for known in golden["images"]:
        with PIL.Image.open(bundle / "golden" / known["file"]) as picture:
            images.append(np.float32(picture).reshape(32, 32, -1))
    fed = np.stack(images)
    answers = export.run_in_litert(bundle / "student.tflite", fed)
    for name, rows in (("fed", fed), ("answers", answers)):
        numbers = np.concatenate([[len(rows)], rows.ravel()])
        numbers.astype("<f4").tofile(bundle / f"student.tflite.{name}")


@pytest.fixture(scope="session")
def compiled(bundles, kotlinc, stubs):
    """All bundles' Kotlin, compiled."""
    path = bundles.parent / "bundles.jar"
    assert kotlinc(sorted(bundles.glob("*/*.kt")), path, stubs) == ""
    return path


@pytest.fixture(scope="session")
def run_tests(bundles, compiled, stubs, kotlin):
    """Runs a bundle's Kotlin tests on the JVM."""
    library = kotlin / "lib/kotlin-stdlib.jar"
    classpath = os.pathsep.join(map(str, (compiled, stubs, library)))

    def run(name, *tests):
        return subprocess.run(
            ["java", "-cp", classpath, "RunTestsKt", bundles / name]
            + [f"com.example.{name}.{test}" for test in tests],
            capture_output=True,
            text=True,
        )

    return run


@pytest.mark.parametrize("name", ["rgb", "grey"])
def test_kotlin_feeds_and_answers_as_python_does(run_tests, name):
    done = run_tests(name, "GoldenTest", "PhotoTest")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("passed: ") == 4


def test_a_wrong_order_of_colors_is_found(run_tests):
    done = run_tests("swapped", "GoldenTest")
    assert done.returncode != 0
    assert "fed what LiteRT was not fed" in done.stderr


def test_a_wrong_label_is_found(bundles, run_tests):
    labels = bundles / "grey" / "labels.txt"
    right = labels.read_text()
    labels.write_text("".join(sorted(right.splitlines(True), reverse=True)))
    try:
        done = run_tests("grey", "GoldenTest")
    finally:
        labels.write_text(right)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr


def test_a_call_that_litert_lacks_does_not_compile(
    bundles, kotlinc, stubs, tmp_path
):
    text = (bundles / "rgb" / "Classifier.kt").read_text()
    assert "writeFloat(values)" in text
    wrong = tmp_path / "Classifier.kt"
    wrong.write_text(text.replace("writeFloat(values)", "writeUInt8(values)"))
    problem = kotlinc([wrong], tmp_path / "wrong.jar", stubs)
    assert "unresolved reference 'writeUInt8'" in problem
