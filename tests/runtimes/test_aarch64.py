"""LiteRT on a phone's processor says of our files what it says here.

The processor is emulated: its results count, its times mean nothing. The same
script runs on both, in one process for all files.

8-bit kernels are integer arithmetic and give the same bits up to the last
convolution. Behind it LiteRT 2.3.0 differs between the two architectures: a
mean on the edge between two steps may be rounded the other way (measured: the
logits of 1 picture in 40, by one step), and softmax takes its exponentials
from another table (at most one step of 1/256).
"""

import subprocess
import sys
from pathlib import Path

import flatbuffers
import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("classify_on_aarch64.py")
FULL_INTEGER = ("int8", "int8_io")
# Largest difference of a probability. Measured: 6.6e-7 and 2.6e-4; weights in
# 8 bits times activations that each kernel rounds to 8 bits its own way.
TOLERANCES = {"none": 1e-5, "dynamic": 1e-3}


def cut(path, before, out):
    """The file without its first operation of a kind and what follows."""
    from ai_edge_litert import schema_py_generated as schema

    kind = getattr(schema.BuiltinOperator, before)
    buffer = path.read_bytes()
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(buffer, 0))
    (graph,) = model.subgraphs
    codes = [code.builtinCode for code in model.operatorCodes]
    kinds = [codes[op.opcodeIndex] for op in graph.operators]
    graph.operators = graph.operators[: kinds.index(kind)]
    graph.outputs = graph.operators[-1].outputs
    model.signatureDefs[0].outputs[0].tensorIndex = graph.outputs[0]
    builder = flatbuffers.Builder(len(buffer))
    builder.Finish(model.Pack(builder), b"TFL3")
    out.write_bytes(builder.Output())
    return out


@pytest.fixture(scope="module")
def answers(aarch64_python, exported_files, pictures, tmp_path_factory):
    """What the phone's processor and this one say of each file."""
    folder = tmp_path_factory.mktemp("aarch64")
    np.save(folder / "pictures.npy", pictures)
    paths = list(exported_files.values())
    for name in FULL_INTEGER:
        for part, before in (("features", "MEAN"), ("logits", "SOFTMAX")):
            out = folder / f"{name} {part}.tflite"
            paths.append(cut(exported_files[name], before, out))
    found = []
    for python in (aarch64_python, sys.executable):
        out = folder / "answers.npz"
        done = subprocess.run(
            [python, SCRIPT, out, folder / "pictures.npy", *paths],
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr[-4000:]
        with np.load(out) as arrays:
            found.append(dict(arrays))
        if python == aarch64_python:
            assert done.stdout.split() == ["aarch64"]
    return found


def assert_same_class(phone, here, tolerance):
    """But where the two best are closer than the tolerance lets them move."""
    best = np.sort(here.astype(float), axis=-1)[:, -2:]
    untied = best[:, 1] - best[:, 0] > 2 * tolerance
    assert untied.mean() > 0.8
    np.testing.assert_array_equal(
        phone.argmax(axis=-1)[untied], here.argmax(axis=-1)[untied]
    )


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("quantization", sorted(TOLERANCES))
def test_floats_agree(answers, quantization):
    phone, here = (found[quantization] for found in answers)
    tolerance = TOLERANCES[quantization]
    np.testing.assert_allclose(phone, here, rtol=0, atol=tolerance)
    assert_same_class(phone, here, tolerance)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("quantization", FULL_INTEGER)
def test_8_bit_features_are_the_same_bits(answers, quantization):
    phone, here = (found[f"{quantization} features"] for found in answers)
    assert phone.dtype == here.dtype == np.int8
    assert len(np.unique(here)) > 100
    np.testing.assert_array_equal(phone, here)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.parametrize("quantization", FULL_INTEGER)
def test_8_bit_probabilities_are_within_a_step(answers, quantization):
    phone, here = (
        found[f"{quantization} logits"].astype(int) for found in answers
    )
    same = (phone == here).all(axis=-1)
    assert same.mean() >= 0.9
    np.testing.assert_allclose(phone, here, rtol=0, atol=1)
    assert_same_class(phone, here, 1)

    phone, here = (in_steps(found[quantization]) for found in answers)
    np.testing.assert_allclose(phone[same], here[same], rtol=0, atol=1)
    assert_same_class(phone[same], here[same], 1)


def in_steps(probabilities):
    """Of 1/256, which is what full-integer files count in."""
    if probabilities.dtype.kind == "f":
        probabilities = probabilities * 256
    return probabilities.astype(int)
