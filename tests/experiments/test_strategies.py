"""`keras-ft distill --strategy=...` ends where one device ends."""

import csv
import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

# Two logical devices, as two GPUs would be.
MIRRORED = """
import sys
import tensorflow as tf
tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0],
    [tf.config.LogicalDeviceConfiguration()] * 2,
)
from keras_ft.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def arguments(tmp_path_factory):
    """Networks with batch normalization, whose statistics must be shared."""
    folder = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(1)
    for name, channels in (("teacher", 12), ("student", 8)):
        image = keras.Input((28, 28, 1))
        x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
        x = keras.layers.BatchNormalization()(x)
        x = keras.layers.ReLU(name="features")(x)
        x = keras.layers.Flatten()(x)
        network = keras.Model(image, keras.layers.Dense(10)(x), name=name)
        network.save(folder / f"{name}.keras")
    return [
        "distill",
        f"--teacher={folder / 'teacher.keras'}",
        f"--student={folder / 'student.keras'}",
        "--pixels=dataset",  # the teacher is not trained
        "--train_examples=256",
        "--batch_size=32",
        "--learning_rate=0.01",
        "--paraphrase_epochs=1",
        "--epochs=2",
        "--beta=5",
        "--p=2",
        "--quantization=none",
    ]


def run(command, arguments, folder):
    done = subprocess.run(
        [*command, *arguments, f"--run_dir={folder}"],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def launcher(root, *flags):
    script = root / "examples" / "launch_workers.py"
    keras_ft = [sys.executable, "-m", "keras_ft"]
    return [sys.executable, str(script), *flags, "--", *keras_ft]


@pytest.fixture(scope="module")
def alone(arguments, tmp_path_factory):
    """The run on one device."""
    folder = tmp_path_factory.mktemp("runs") / "alone"
    run([sys.executable, "-m", "keras_ft"], arguments, folder)
    return folder


def assert_same_run(folder, alone):
    with (
        open(folder / "history" / "ft.csv", newline="") as mine,
        open(alone / "history" / "ft.csv", newline="") as theirs,
    ):
        for row, expected in zip(
            csv.DictReader(mine), csv.DictReader(theirs), strict=True
        ):
            assert row.keys() == expected.keys()
            for name in row.keys() - {"seconds"}:
                assert float(row[name]) == pytest.approx(
                    float(expected[name]), rel=1e-3, abs=1e-4
                ), name
    students = [
        keras.models.load_model(where / "student.keras")
        for where in (folder, alone)
    ]
    for one, two in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_allclose(one, two, atol=5e-4)
    # The layer that shared its statistics is a plain one again.
    norm = students[0].layers[2]
    assert norm.get_config()["synchronized"] is False
    files = {path.name for path in folder.iterdir()}
    assert {"student.tflite", "report.html", "metrics.json"} <= files
    content = json.loads((folder / "run.json").read_text())
    assert len(content["sessions"]) >= 1
    assert content["configuration"]["recipe"]["beta"] == 5


@pytest.mark.long
@pytest.mark.slow
def test_two_devices_of_one_machine(arguments, alone, tmp_path):
    command = [sys.executable, "-c", MIRRORED]
    run(command, [*arguments, "--strategy=mirrored"], tmp_path / "run")
    assert_same_run(tmp_path / "run", alone)


@pytest.mark.long
@pytest.mark.slow
@pytest.mark.parametrize(
    "moment",
    [
        "history/paraphrase.csv",
        pytest.param("paraphraser.keras", marks=pytest.mark.long),
    ],
)
def test_two_workers_one_of_which_is_killed(
    arguments, alone, tmp_path, root, moment
):
    """In a phase or after it: all are started again, and continue."""
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [
            *launcher(root, "--workers=2", "--restarts=1"),
            *arguments,
            "--strategy=multi_worker",
            f"--run_dir={folder}",
        ],
        env=os.environ | {"TF_ENABLE_ONEDNN_OPTS": "0"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    while not (folder / moment).exists():
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.02)
    pids = subprocess.run(
        ["pgrep", "-P", str(process.pid)], capture_output=True, text=True
    ).stdout.split()
    assert len(pids) == 2
    os.kill(int(pids[1]), signal.SIGKILL)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    assert "keras-ft: error: Another worker stopped" in output, output
    assert "attempt 1: exit codes [75, -9]" in output, output
    assert_same_run(folder, alone)
