"""Two workers on loopback train as one device does."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest

# Of five steps each.
EPOCHS = 10


def one_device(script, *words):
    done = subprocess.run(
        [sys.executable, str(script), *map(str, words)],
        env={k: v for k, v in os.environ.items() if k != "TF_CONFIG"},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


# Weights after 50 steps: sums of gradients in another order. With
# synchronized batch normalization the sums of its statistics are, too, and
# are divided by: the bound is that of two replicas, tests/strategies.
ALIKE = {
    "plain": 1e-6,
    "plain, synchronized": 5e-5,
    "phase 1": 1e-6,
    "FT": 1e-6,
    "FT, synchronized": 5e-5,
    "FT+KD": 1e-6,
    "FT, few labels": 1e-6,
}
# What every other model is a variation of.
CELLS = ("phase 1", "FT, few labels")


@pytest.mark.slow
@pytest.mark.cell("phase 1", where="multi_worker.fit")
@pytest.mark.cell("phase 2", where="multi_worker.fit")
@pytest.mark.cell("tf.data", where="multi_worker.fit")
@pytest.mark.cell("sample_weight", where="multi_worker.fit")
@pytest.mark.cell("unlabelled images", where="multi_worker.fit")
@pytest.mark.cell("validation_data", where="multi_worker.fit")
@pytest.mark.cell("SGD and CoupledSGD", where="multi_worker.fit")
@pytest.mark.cell("each loss term logged exactly", where="multi_worker.fit")
@pytest.mark.parametrize(
    "kinds",
    [
        pytest.param(CELLS, id="each phase"),
        pytest.param(
            tuple(kind for kind in ALIKE if kind not in CELLS),
            id="other models",
            marks=pytest.mark.long,
        ),
    ],
)
def test_two_workers_equal_one_device(start, script, kinds):
    compared = script.with_name("compared.py")
    workers = start(EPOCHS, *kinds, script=compared).results()
    alone = one_device(compared, EPOCHS, *kinds)
    assert alone.keys() == set(kinds)
    assert workers[0] == workers[1]
    for kind in kinds:
        bound = ALIKE[kind]
        ours, theirs = workers[0][kind], alone[kind]
        for part in ("trained", "state"):
            for mine, other in zip(ours[part], theirs[part], strict=True):
                np.testing.assert_allclose(
                    mine, other, rtol=0, atol=bound, err_msg=f"{kind} {part}"
                )
        assert ours["history"].keys() == theirs["history"].keys()
        for name, logged in theirs["history"].items():
            # A share of variance passes through 0, where nothing is relative.
            near = 1e-6 if "variance_kept" in name else None
            assert ours["history"][name] == pytest.approx(
                logged, rel=1e-4, abs=near
            ), (kind, name)


@pytest.mark.slow
@pytest.mark.long
@pytest.mark.cell("phase 1", where="multi_worker.fit")
@pytest.mark.cell("callbacks", where="multi_worker.fit")
@pytest.mark.cell("moving average of weights", where="multi_worker.fit")
@pytest.mark.cell("mixed_float16", where="multi_worker.fit")
def test_callbacks_and_continuation(start, script, tmp_path):
    """Other models, only the chief's files, and a second call that goes on."""
    more = script.with_name("more.py")
    first, second = start(tmp_path / "files", script=more).results()
    assert first["digest"] == second["digest"]
    # The same callbacks were given to both.
    names = {path.name for path in (tmp_path / "files").iterdir()}
    assert {"log0.csv", "best0.keras", "checkpoint"} <= names
    assert not {"log1.csv", "best1.keras"} & names
    # EarlyStopping stopped all of them in the same epoch.
    assert first["stopped"] == second["stopped"] < 20
    assert first["continued"] == [0, 1, 2, 3, 4]
    assert second["continued"] == first["continued"]
    assert first["phase1"] == second["phase1"]


@pytest.mark.slow
@pytest.mark.cell("gradient accumulation", "refused", "multi_worker.fit")
@pytest.mark.cell("jit_compile", "refused", "multi_worker.fit")
def test_bad_input_is_refused_before_the_first_step(start, script):
    for worker in start(script=script.with_name("refusals.py")).results():
        messages = worker["messages"]
        expected = {
            "plain fit": "keras_ft.multi_worker.fit",
            "odd batch": "divide by 2",
            "unknown batch": "drop_remainder=True",
            "no steps": "steps_per_epoch",
            "backup": "checkpoint_dir",
            "outside": "strategy().scope()",
            "accumulation": "gradient_accumulation_steps",
            "jit": "jit_compile",
        }
        for name, part in expected.items():
            assert part in messages[name], (name, messages[name])
        assert messages.keys() == expected.keys()


@pytest.mark.slow
@pytest.mark.long
def test_the_example_runs_on_two_workers(root, tmp_path):
    launcher = [sys.executable, str(root / "examples" / "launch_workers.py")]
    example = [sys.executable, str(root / "examples" / "several_machines.py")]
    words = ["--epochs=1", "--train_examples=128", f"--folder={tmp_path}"]
    done = subprocess.run(
        [*launcher, "--", *example, *words],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, (done.stdout + done.stderr)[-3000:]
    assert (tmp_path / "student.keras").is_file()
    # One line per epoch, from the chief alone.
    assert done.stdout.count("val_accuracy:") == 1
