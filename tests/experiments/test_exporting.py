"""What an export leaves in a run's folder."""

import json
import shutil

import keras
import numpy as np
import pytest

from keras_ft import artifacts
from keras_ft import experiments
from keras_ft.cli.main import main
from keras_ft.experiments import exporting


@pytest.fixture
def run_dir(finished_run, tmp_path):
    return shutil.copytree(finished_run, tmp_path / "run")


def _too_wide(student):
    """Two classes a hair apart beside others far below: not in 8 bits."""
    kernel = np.array(student.layers[-1].kernel)
    kernel[:, 1] = kernel[:, 0] + 1e-3
    kernel[:, 2:] = -300.0
    student.layers[-1].kernel.assign(kernel)
    return student


def test_a_fallback_leaves_the_file_of_an_earlier_export(run_dir):
    path, _ = experiments.export_run(run_dir, "int8")
    before = path.read_bytes()
    wide = _too_wide(keras.models.load_model(run_dir / "student.keras"))
    with experiments.RunFolder(run_dir) as run:
        loaded = experiments.load_run_data(run)
        written, result = exporting.export_into(
            run, wide, loaded, "int8", "float16"
        )
    assert (written.name, result["quantization"]) == (
        "student_float16.tflite",
        "float16",
    )
    assert path.read_bytes() == before
    phases = json.loads((run_dir / "run.json").read_text())["phases"]
    assert phases["export_float16"]["result"]["requested"] == "int8"
    for name in (path.name, written.name):
        artifacts.verify(run_dir, name)
    assert not list(run_dir.glob(f"{artifacts.UNFINISHED}*"))


@pytest.mark.parametrize(
    "more",
    [
        ["--compression=qat", "--quantization=dynamic"],
        ["--compression=pcqat", "--fallback=float16"],
    ],
)
def test_what_cannot_be_written_is_not_trained_for(
    run_dir, more, capsys, monkeypatch
):
    def trained(*_, **__):
        raise AssertionError("trained in vain")

    monkeypatch.setattr(exporting, "compress", trained)
    assert main(["export", f"--run_dir={run_dir}", *more]) == 2
    assert "trains for 8 bits" in capsys.readouterr().err
