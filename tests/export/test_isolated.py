"""Files that LiteRT refuses, and processes that come to grief."""

import os
import pickle
import signal

import numpy as np
import pytest

from keras_ft.export import ModelFileError
from keras_ft.export import classify_isolated
from keras_ft.export import isolated
from keras_ft.export import run_in_litert
from keras_ft.export import to_tflite


@pytest.fixture
def path(student, images, tmp_path):
    path = tmp_path / "student.tflite"
    to_tflite(student, path, samples=images)
    return path


@pytest.fixture
def child(tmp_path, monkeypatch):
    """A function that puts another program in the place of LiteRT's."""

    def replace(program):
        script = tmp_path / "child.py"
        script.write_text(program)
        monkeypatch.setattr(isolated, "_CHILD", script)

    return replace


def _changed(path, change):
    """The same model with something changed inside, still well-formed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model.subgraphs[0])
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


def test_the_answers_are_those_of_this_process(path, images):
    answers = classify_isolated(path, images)
    np.testing.assert_array_equal(
        answers, run_in_litert(path, np.float32(images))
    )


def test_integer_pixels_and_answers_are_scaled(student, images, tmp_path):
    path = tmp_path / "integer.tflite"
    to_tflite(student, path, "int8_io", calibration=images)
    answers = classify_isolated(path, images)
    assert answers.dtype == np.float32
    np.testing.assert_array_equal(answers, run_in_litert(path, images))
    # Probabilities again, in steps of 1/256.
    np.testing.assert_allclose(answers.sum(-1), 1, atol=0.02)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "empty or no file"),
        (b"version https://git-lfs.github.com/spec/v1", "valid Flatbuffer"),
        (b"\x1c\0\0\0TFL3" + bytes(500), "schema version 0"),
    ],
)
def test_no_model_is_refused(path, images, content, expected):
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match=expected) as refusal:
        classify_isolated(path, images)
    assert refusal.value.kind == "refused"


def test_images_of_another_shape_are_refused(path, images):
    with pytest.raises(ModelFileError, match=r"\(1, 16, 16, 3\), not \(1, 8"):
        classify_isolated(path, images[:, :8])


def test_a_giant_input_ends_at_the_limit_of_memory(path):
    def change(graph):
        giant = np.array([1, 100_000, 100_000, 3])
        graph.tensors[graph.inputs[0]].shape = giant

    _changed(path, change)
    with pytest.raises(ModelFileError) as refusal:
        isolated.time_isolated(path, (1,), 1)
    assert refusal.value.kind in ("refused", "crashed")


def test_two_outputs_are_no_classifier(path, images):
    def change(graph):
        graph.outputs = np.append(graph.outputs, graph.outputs)

    _changed(path, change)
    with pytest.raises(ModelFileError, match="1 inputs and 2 outputs"):
        classify_isolated(path, images)


def test_answers_that_are_no_numbers_are_refused(path, images):
    content = bytearray(path.read_bytes())
    # The bytes of the weights end as floats; make a run of them NaN.
    middle = len(content) // 2 // 4 * 4
    content[middle : middle + 400] = b"\xff" * 400
    path.write_bytes(content)
    with pytest.raises(ModelFileError, match="NaN or infinity"):
        classify_isolated(path, images)


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGABRT", "SIGFPE", "SIGKILL"])
def test_a_crash_is_an_error_that_names_the_signal(path, images, child, name):
    number = int(getattr(signal, name))
    child(
        "import os, sys\n"
        "print('INFO: ready', file=sys.stderr)\n"
        "print('terminate called', file=sys.stderr, flush=True)\n"
        "print('INFO: going', file=sys.stderr, flush=True)\n"
        f"os.kill(os.getpid(), {number})\n"
    )
    with pytest.raises(ModelFileError, match=f"{name}, last words: term") as e:
        classify_isolated(path, images)
    assert e.value.kind == "crashed"
    assert str(pickle.loads(pickle.dumps(e.value))) == str(e.value)


def test_an_exit_without_a_signal_is_an_error(path, images, child):
    child("raise SystemExit(7)")
    with pytest.raises(ModelFileError, match="exit code 7"):
        classify_isolated(path, images)


def test_a_process_that_hangs_is_ended(path, images, child, tmp_path):
    note = tmp_path / "pid"
    child(
        "import os, pathlib, time\n"
        f"pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
        "time.sleep(600)\n"
    )
    with pytest.raises(ModelFileError, match="not done after 5 s") as refusal:
        classify_isolated(path, images, seconds=5.0)
    assert refusal.value.kind == "timed out"
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_the_child_imports_nothing_slow(path, child):
    program = isolated._CHILD.read_text()
    child(
        program + "\nassert not {'keras', 'keras_ft', 'tensorflow'} & "
        "set(sys.modules), 'slow'\n"
    )
    assert isolated.time_isolated(path, (1,), 1)[0]["runs"] == 1
