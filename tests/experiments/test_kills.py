"""Commands killed inside a training end as if they had been left alone.

As a user has them: networks with batch normalization, the accelerations that
this processor gains from, and oneDNN as `keras-ft` sets it.
"""

import collections
import json
import os
import re
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

# Makes them known to Keras.
from keras_ft import layers  # noqa: F401

pytestmark = pytest.mark.slow

TRAINED = re.compile(
    r"^(?:trial: .*: trained|phase 1: .* trained)$", re.MULTILINE
)


@pytest.fixture(scope="module")
def networks(tmp_path_factory):
    """Flags that name a small teacher and student, both normalized."""
    folder = tmp_path_factory.mktemp("networks")
    keras.utils.set_random_seed(1)
    words = []
    for name, channels in (("teacher", 12), ("student", 8)):
        image = x = keras.Input((28, 28, 1))
        for strides in (4, 1):
            x = keras.layers.Conv2D(
                channels, 3, strides, padding="same", use_bias=False
            )(x)
            x = keras.layers.BatchNormalization()(x)
            x = keras.layers.ReLU()(x)
        x = keras.layers.GlobalAveragePooling2D()(x)
        network = keras.Model(image, keras.layers.Dense(10)(x), name=name)
        network.save(folder / f"{name}.keras")
        words.append(f"--{name}={folder / name}.keras")
    return [*words, "--pixels=dataset"]  # the teacher is not trained


@pytest.fixture
def start(root, few_images, tmp_path):
    """Runs `keras-ft` in a folder; kills it at a line where one is given."""
    environment = os.environ | {"PYTHONUNBUFFERED": "1"}
    environment.pop("TF_ENABLE_ONEDNN_OPTS", None)

    def start(words, folder, kill_at=None):
        lines = []
        with subprocess.Popen(
            [
                *(sys.executable, "-m", "keras_ft", *words),
                *(f"--dataset={few_images}", "--batch_size=20"),
                f"--run_dir={tmp_path / folder}",
            ],
            cwd=root,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            for line in process.stdout:
                lines.append(line)
                if kill_at is not None and re.search(
                    kill_at, "".join(lines), re.MULTILINE
                ):
                    process.send_signal(signal.SIGKILL)
                    break
            lines += process.stdout
        expected = 0 if kill_at is None else -signal.SIGKILL
        assert process.returncode == expected, "".join(lines)
        return "".join(lines)

    return start


def assert_same_weights(folder, *names):
    assert names
    for name in names:
        resumed, whole = (
            keras.models.load_model(folder / run / name, compile=False)
            for run in ("killed", "whole")
        )
        for mine, theirs in zip(
            resumed.get_weights(), whole.get_weights(), strict=True
        ):
            np.testing.assert_array_equal(mine, theirs)


@pytest.mark.parametrize(
    "more",
    [
        [],
        pytest.param(["--views=2"], marks=pytest.mark.long),
        # The shipped teacher, and a student that is made anew.
        pytest.param(
            ["--teacher=fashion_mini", "--student=resnet8"],
            marks=pytest.mark.long,
        ),
    ],
)
def test_a_distillation(start, networks, tmp_path, more):
    # Epochs of milliseconds: many of them come after the kill.
    words = ["distill", *networks, "--paraphrase_epochs=1", "--epochs=9"]
    words += ["--quantization=none", *more]
    start(words, "whole")
    start(words, "killed", r"^ft: epoch 2/9")
    assert not (tmp_path / "killed" / "student.keras").exists()
    found = start(words, "killed")
    assert re.search(r"^ft: [1-8] of 9 epochs were done", found, re.M)
    names = ("paraphraser", "translator", "student")
    assert_same_weights(tmp_path, *(f"{name}.keras" for name in names))


@pytest.mark.long
def test_a_comparison_with_factor_transfer(start, networks, tmp_path):
    words = ["compare", *networks, "--methods=none,ft", "--seeds=1"]
    words += ["--paraphrase_epochs=3", "--epochs=3", "--noexport"]
    start(words, "whole")
    # In phase 1, and then in phase 2.
    start(words, "killed", r"paraphrase: epoch 2/3")
    printed = start(words, "killed", r"^ft, .*student: epoch 2/3")
    assert re.search(r"paraphrase: [12] of 3 epochs were", printed)
    killed = tmp_path / "killed"
    assert not (killed / "ft-seed0" / "student.keras").exists()
    done = killed / "none-seed0" / "student.keras"
    before = done.stat().st_mtime_ns
    found = start(words, "killed")
    assert re.search(r"^ft, .*student: [12] of 3 epochs were", found, re.M)
    assert done.stat().st_mtime_ns == before
    names = ("none-seed0/student", "ft-seed0/student")
    names += ("paraphraser-seed0/paraphraser",)
    assert_same_weights(tmp_path, *(f"{name}.keras" for name in names))


@pytest.mark.long
@pytest.mark.parametrize("tuner", ["hyperband", "grid", "random", "bayesian"])
def test_a_search(start, networks, tmp_path, tuner):
    words = ["tune", *networks, f"--tuner={tuner}", "--rates=0.5,1,2"]
    words += ["--paraphrase_epochs=2", "--epochs=3", "--views=1"]
    if tuner in ("random", "bayesian"):
        words.append("--max_trials=3")
    whole = start(words, "whole")
    # Hyperband's first trial that goes beyond its first epoch has trials
    # before it; so has one of the others that is not the grid's first.
    moment = "^distill: epoch 2/3"
    if tuner != "hyperband":
        moment = (
            r"^trial: rate (?!0\.5).*\n(?:(?!trial: ).*\n)*distill: epoch 2/3"
        )
    printed = start(words, "killed", moment)
    assert not (tmp_path / "killed" / "student.keras").exists()
    printed += start(words, "killed")
    assert trials(tmp_path / "killed") == trials(tmp_path / "whole")
    assert_same_weights(tmp_path, "student.keras")
    trained, expected = (
        collections.Counter(TRAINED.findall(text)) for text in (printed, whole)
    )
    assert trained == expected and expected


def trials(folder):
    """The table without the time it took."""
    found = json.loads((folder / "trials.json").read_text("utf-8"))
    for trial in found["trials"]:
        del trial["seconds"]
    return found
