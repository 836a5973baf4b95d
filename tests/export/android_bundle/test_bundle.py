import gzip
import hashlib
import io
import json
import shutil
import subprocess
import sys
import zipfile

import keras
import numpy as np
import PIL.Image
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_ft import artifacts
from keras_ft import export
from keras_ft.errors import InputError

FILES = {
    "Classifier.kt",
    "GoldenTest.kt",
    "README.md",
    "build.gradle.kts",
    "labels.txt",
    "latency.json",
    "latency.md",
    "manifest.json",
    "model_card.json",
    "model_card.md",
    "student.tflite",
    "golden/golden.json",
    *(f"golden/0{i}.png" for i in range(6)),
}
# Every run has its own times.
TIMED = {"latency.json", "latency.md", "manifest.json"}


@pytest.fixture
def folder(bundled):
    return bundled.folder


@pytest.fixture
def card(folder):
    return json.loads((folder / "model_card.json").read_text())


def present(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def litert(content, images):
    """Probabilities by LiteRT's own interface, without the package's."""
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    (image,) = interpreter.get_input_details()
    (output,) = interpreter.get_output_details()
    rows = []
    for one in images:
        interpreter.set_tensor(image["index"], np.float32(one)[np.newaxis])
        interpreter.invoke()
        rows.append(interpreter.get_tensor(output["index"])[0])
    return np.stack(rows)


def test_everything_is_there_and_recorded(bundled, folder):
    assert set(present(folder)) == FILES == set(bundled.files)
    for name in FILES - {"manifest.json"}:
        artifacts.verify(folder, name)
    # And nothing beside it, such as a temporary folder.
    assert [path.name for path in folder.parent.iterdir()] == ["things"]


def test_the_card_s_numbers_are_measured(folder, card, images, labels, top1):
    content = (folder / "student.tflite").read_bytes()
    found = np.argmax(litert(content, images), axis=-1)
    assert card["accuracy"] == {
        "keras": 44 / 48,
        "float32": 44 / 48,
        "file": np.mean(found == labels),
    }
    file = card["file"]
    assert file["agreement"] == np.mean(found == top1)
    assert file["bytes"] == len(content)
    assert file["gzip_bytes"] == len(gzip.compress(content, mtime=0))
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert card["samples"] == len(images)
    assert card["quantization"] == card["requested"] == "int8"
    # The float file is another one, and larger.
    assert card["float32"]["agreement"] == 1.0
    assert card["float32"]["max_error"] < 1e-4 < file["max_error"]
    assert card["float32"]["bytes"] > 2 * file["bytes"]


def test_the_card_in_words_has_the_same_numbers(folder, card):
    text = (folder / "model_card.md").read_text()
    for number in (
        f"{100 * card['accuracy']['file']:.2f} %",
        "91.67 %",
        f"{card['file']['bytes']:,}",
        f"{card['file']['gzip_bytes']:,}",
        card["file"]["sha256"],
        f"keras_ft {card['versions']['keras_ft']}",
        "| teacher | 90.00 % |",
        "| rate | 0.5 |",
        "| Version | 1.2 |",
        "| Trained on | not stated |",
        "- One seed.",
        r"bus, cat\|dog, cup",
    ):
        assert number in text
    assert "refused" not in text


def test_the_file_says_who_made_it_and_what_it_tells_apart(folder):
    content = (folder / "student.tflite").read_bytes()
    for text in (b"Ann", b"MIT", b"1.2"):
        assert text in content
    with zipfile.ZipFile(io.BytesIO(content)) as inside:
        names = inside.read("labels.txt")
    assert names == (folder / "labels.txt").read_bytes()
    assert names.decode().splitlines()[1] == "cat|dog"


def test_golden_answers_are_litert_s(folder):
    golden = json.loads((folder / "golden" / "golden.json").read_text())
    pictures = []
    for known in golden["images"]:
        with PIL.Image.open(folder / "golden" / known["file"]) as picture:
            pictures.append(np.asarray(picture))
    found = litert((folder / "student.tflite").read_bytes(), pictures)
    expected = [known["probabilities"] for known in golden["images"]]
    np.testing.assert_allclose(found, expected, atol=1e-6)
    tops = [known["top1"] for known in golden["images"]]
    assert np.argmax(found, axis=-1).tolist() == tops
    assert len(set(tops)) > 1
    # Wide enough for another processor, too narrow for another file.
    assert 1e-6 < golden["tolerance"] < 0.1


def check_on_a_computer(folder):
    text = (folder / "README.md").read_text()
    code = text.split("```python\n")[1].split("```")[0]
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        cwd=folder,
        capture_output=True,
        text=True,
    )


@pytest.fixture
def copy(folder, tmp_path):
    """The bundle, for tests that change it."""
    return shutil.copytree(folder, tmp_path / "a")


def test_the_readme_s_check_passes_and_can_fail(folder, copy):
    done = check_on_a_computer(folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout == "as expected: 6 images\n"
    path = copy / "golden" / "golden.json"
    golden = json.loads(path.read_text())
    golden["images"][5]["probabilities"].reverse()
    path.write_text(json.dumps(golden))
    done = check_on_a_computer(copy)
    assert done.returncode != 0
    assert "AssertionError" in done.stderr


def test_texts_are_for_this_student(folder):
    kotlin = (folder / "Classifier.kt").read_text()
    assert kotlin.startswith("package org.example.things\n")
    for line in ("WIDTH = 16", "HEIGHT = 16", "CHANNELS = 3"):
        assert f"const val {line}\n" in kotlin
    readme = (folder / "README.md").read_text()
    assert "app/src/main/java/org/example/things/" in readme
    assert "ImageClassifier.createFromFile" in readme
    for name in FILES - {"README.md"}:
        assert name.split("/")[0] in readme, f"{name} is not explained"
    gradle = (folder / "build.gradle.kts").read_text()
    assert 'noCompress += "tflite"' in gradle


def test_latencies_name_the_machine(bundled, folder):
    times = json.loads((folder / "latency.json").read_text())
    assert times["machine"] == bundled.machine == export.machine()
    assert [row["threads"] for row in times["latencies"]] == [1, 2]
    text = (folder / "latency.md").read_text()
    assert times["machine"] in text
    for row in times["latencies"]:
        shown = f"| {row['threads']} | {row['median_ms']:.3f} |"
        (line,) = [x for x in text.splitlines() if x.startswith(shown)]
        assert line.endswith("| |"), "the phone's column is not empty"


def test_the_same_student_and_an_iterator_give_the_same_bytes(
    folder, make_bundle, images, tmp_path
):
    batches = (batch for batch in np.split(images, 6))
    again = make_bundle(tmp_path / "elsewhere", calibration=batches)
    assert again.exported.samples == 48
    first, second = present(folder), present(again.folder)
    assert first.keys() == second.keys()
    for name in first.keys() - TIMED:
        assert first[name] == second[name], name


def test_without_labels_no_accuracy_is_told(make_bundle, copy):
    # In the place of an earlier bundle, which had six golden images.
    result = make_bundle(copy, "none", labels=None, card=None, golden=2)
    assert not (copy / "golden" / "05.png").exists()
    assert set(result.card["accuracy"].values()) == {None}
    text = (result.folder / "model_card.md").read_text()
    assert text.count("not measured") == 3
    assert "| Author | not stated |" in text
    assert text.startswith("# tiny\n")
    assert "it was tested on" not in (result.folder / "README.md").read_text()


@pytest.fixture
def too_dark(images):
    """Calibration by which int8 clips every bright image."""
    return {"calibration": images // 16, "samples": images}


def test_a_refused_file_leaves_nothing(make_bundle, too_dark, tmp_path):
    with pytest.raises(export.ParityError):
        make_bundle(tmp_path / "a", **too_dark)
    assert list(tmp_path.iterdir()) == []


def test_a_fallback_is_told(make_bundle, too_dark, tmp_path):
    result = make_bundle(tmp_path / "a", **too_dark, fallback="dynamic")
    assert result.card["requested"] == "int8"
    assert result.card["quantization"] == "dynamic"
    text = (result.folder / "model_card.md").read_text()
    assert "Asked for was int8, which was refused" in text


def test_an_earlier_folder_outlives_a_failure(
    make_bundle, make_tiny, copy, tmp_path
):
    before = present(copy)
    # Good files, but no image that would tell a phone is wrong.
    undecided = make_tiny(stddev=1e-6)
    with pytest.raises(export.ExportError, match="never more than"):
        make_bundle(copy, "none", undecided, labels=None)
    assert present(copy) == before
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"package": "org.example.fun"}, "Invalid `package`"),
        ({"package": "org..example"}, "Invalid `package`"),
        ({"package": "1org"}, "Invalid `package`"),
        ({"quantization": "int8_io"}, "Kotlin API has no uint8"),
        ({"fallback": "int8_io"}, "Kotlin API has no uint8"),
        ({"class_names": None}, "Invalid `class_names`"),
        ({"class_names": ("one", "two")}, "Invalid `class_names`"),
        ({"golden": 0}, "Invalid `golden`"),
        ({"quantization": "int4"}, "Invalid `quantization`"),
        ({"calibration": None}, "calibration"),
    ],
)
def test_bad_requests_are_refused(make_bundle, tmp_path, changes, message):
    with pytest.raises(InputError, match=message):
        make_bundle(tmp_path / "a", **changes)
    assert list(tmp_path.iterdir()) == []


def test_other_channels_are_refused(tmp_path):
    student = keras.Sequential([keras.Input((8, 8, 4)), keras.layers.Flatten()])
    with pytest.raises(InputError, match="images of 4 channels"):
        export.bundle(student, tmp_path / "a", class_names=["a"] * 256)


def test_a_folder_with_other_things_is_refused(make_bundle, tmp_path):
    (tmp_path / "thesis.tex").write_text("years")
    with pytest.raises(InputError, match="holds thesis.tex"):
        make_bundle(tmp_path)
    assert (tmp_path / "thesis.tex").read_text() == "years"
