"""Files that LiteRT refuses, and processes that come to grief."""

import os
import shutil
import signal
import sys
import warnings

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter

from keras_ft.export import ModelFileError
from keras_ft.export import classify_isolated
from keras_ft.export import litert_child
from keras_ft.export import measure_latency
from keras_ft.export import run_in_litert
from keras_ft.export.litert import run_isolated
from keras_ft.export.litert import suppressed_output


@pytest.fixture
def path(exported, tmp_path):
    """A float file that a test may damage."""
    return shutil.copy(exported("none").path, tmp_path / "student.tflite")


@pytest.fixture
def run_program(path, images, tmp_path):
    """A function that runs another program in the place of LiteRT's."""

    def run(program, seconds=60.0, **request):
        script = tmp_path / "child.py"
        script.write_text(program)
        request = request or {"images": images}
        return run_isolated(path, seconds, program=script, **request)

    return run


def _changed(path, change):
    """The same model with something changed inside, still well-formed."""
    import flatbuffers
    from ai_edge_litert import schema_py_generated as schema

    model = schema.ModelT.InitFromPackedBuf(path.read_bytes(), 0)
    change(model.subgraphs[0])
    builder = flatbuffers.Builder(2**16)
    builder.Finish(model.Pack(builder), b"TFL3")
    path.write_bytes(builder.Output())


def test_the_answers_are_litert_s_in_this_process_and_another(path, images):
    classify = Interpreter(str(path)).get_signature_runner("classify")
    expected = [
        classify(image=np.float32(image)[np.newaxis])["probabilities"][0]
        for image in images
    ]
    np.testing.assert_array_equal(run_in_litert(path, images), expected)
    np.testing.assert_array_equal(classify_isolated(path, images), expected)


def test_integer_pixels_and_answers_are_scaled(exported, images):
    path = exported("int8_io").path
    classify = Interpreter(str(path)).get_signature_runner("classify")
    expected = [
        np.float32(classify(image=image[np.newaxis])["probabilities"][0]) / 256
        for image in images
    ]
    answers = classify_isolated(path, images)
    assert answers.dtype == np.float32
    np.testing.assert_array_equal(answers, expected)
    np.testing.assert_array_equal(run_in_litert(path, images), expected)
    # Probabilities again, in steps of 1/256.
    np.testing.assert_allclose(answers.sum(-1), 1, atol=0.02)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", "it is empty or no file"),
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
        measure_latency(path, (1,), 1)
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
def test_a_crash_is_an_error_that_names_the_signal(run_program, name):
    number = int(getattr(signal, name))
    with pytest.raises(ModelFileError, match=f"{name}, last words: term") as e:
        run_program(
            "import os, sys\n"
            "print('INFO: ready', file=sys.stderr)\n"
            "print('terminate called', file=sys.stderr, flush=True)\n"
            "print('INFO: going', file=sys.stderr, flush=True)\n"
            f"os.kill(os.getpid(), {number})\n"
        )
    assert e.value.kind == "crashed"


def test_an_exit_without_a_signal_is_an_error(run_program):
    with pytest.raises(ModelFileError, match="exit code 7"):
        run_program("raise SystemExit(7)")


def test_a_process_that_hangs_is_ended(run_program, tmp_path):
    note = tmp_path / "pid"
    with pytest.raises(ModelFileError, match="not done after 3 s") as refusal:
        run_program(
            "import os, pathlib, time\n"
            f"pathlib.Path({str(note)!r}).write_text(str(os.getpid()))\n"
            "time.sleep(600)\n",
            seconds=3.0,
        )
    assert refusal.value.kind == "timed out"
    with pytest.raises(ProcessLookupError):
        os.kill(int(note.read_text()), 0)


def test_the_child_imports_nothing_slow(run_program):
    with open(litert_child.__file__) as stream:
        program = stream.read()
    program += (
        "\nassert not {'keras', 'keras_ft', 'tensorflow'} & "
        "set(sys.modules), 'slow'\n"
    )
    assert run_program(program, threads=(1,), runs=1)[0]["runs"] == 1


def test_python_and_descriptors_are_silenced_and_given_back(capfd):
    with suppressed_output():
        print("python")
        print("python", file=sys.stderr)
        os.write(1, b"c++")
        os.write(2, b"c++")
        warnings.warn("a warning", stacklevel=1)
    os.write(1, b"after")
    os.write(2, b"wards")
    assert capfd.readouterr() == ("after", "wards")


def test_an_exception_passes_and_the_output_comes_back(capfd):
    before = set(os.listdir("/proc/self/fd"))
    with pytest.raises(KeyError), suppressed_output():
        raise KeyError
    print("still here")
    assert capfd.readouterr().out == "still here\n"
    assert set(os.listdir("/proc/self/fd")) == before
