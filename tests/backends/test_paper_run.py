"""The paper's setting in pieces: `benchmarks/gpu/paper_run.py`, toy sizes."""

import json
import sys

import numpy as np
import pytest

pytestmark = pytest.mark.slow

SHORT = ("--epochs=2", "--paraphrase_epochs=1", "--batch_size=16")
VIEWS = """
import sys
import jax, numpy as np
from compiled_epoch import augmented
images = np.random.default_rng(0).integers(0, 256, (64, 12, 10, 3), "uint8")
np.savez(sys.argv[1], images, augmented(jax.random.key(0), images))
"""


@pytest.fixture
def script(root):
    return root / "benchmarks" / "gpu" / "paper_run.py"


def lines(folder):
    """Results without what depends on the process."""
    texts = (folder / "results.jsonl").read_text().split("\n")
    found = [json.loads(text) for text in texts if text]
    for line in found:
        assert line.pop("seconds") > 0
        line.pop("compiled")
    return found


@pytest.mark.long
def test_a_run_in_pieces_is_an_uninterrupted_one(
    jax_python, run, root, script, tmp_path
):
    def paper_run(*words):
        cache = {
            "PYTHONPATH": str(root),
            "JAX_COMPILATION_CACHE_DIR": str(tmp_path / "compiled"),
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0",
        }
        output = run(jax_python, "jax", script, *words, **cache)
        return output.splitlines()

    packed = tmp_path / "packed"
    paper_run("--toy", f"--pack={packed}", "--piece_mb=0.02")
    assert len(list(packed.glob("images-*.npy"))) == 3
    words = [f"--data={packed}", "--methods=ft", "--seeds=1", *SHORT]
    whole, pieces = tmp_path / "whole", tmp_path / "pieces"
    paper_run(*words, f"--out={whole}")
    said = [
        paper_run(*words, f"--out={pieces}", "--minutes=0")[-1]
        for _ in range(3)
    ]
    # An epoch in each call.
    assert said == ["Out of time. The same command goes on."] * 2 + [
        "All trainings are finished."
    ]
    assert [(x["method"], x["epoch"]) for x in lines(whole)] == [
        ("paraphraser", 1),
        ("ft", 1),
        ("ft", 2),
    ]
    assert lines(pieces) == lines(whole)
    expected, found = (
        np.load(folder / "training.npz") for folder in (whole, pieces)
    )
    assert expected.files == found.files
    for name in expected.files:
        np.testing.assert_array_equal(found[name], expected[name])
    # A piece that did not arrive whole is refused by name.
    piece = packed / "images-01.npy"
    piece.write_bytes(piece.read_bytes()[:-1] + b"x")
    process = run.start(
        jax_python, "jax", script, f"--data={packed}", PYTHONPATH=str(root)
    )
    assert "images-01.npy" in process.communicate()[1]
    assert process.returncode != 0


def test_views_are_those_of_the_paper(jax_python, run, root, tmp_path):
    file = tmp_path / "views.npz"
    where = {"PYTHONPATH": str(root / "benchmarks" / "gpu")}
    run(jax_python, "jax", "-c", VIEWS, file, **where)
    images, views = np.load(file).values()
    padded = np.pad(images, ((0, 0), (4, 4), (4, 4), (0, 0)))
    seen = set()
    for whole, view in zip(padded, views, strict=True):
        found = [
            (row, column, flip)
            for row in range(9)
            for column in range(9)
            for flip in (1, -1)
            if np.array_equal(
                whole[row : row + 12, column : column + 10][:, ::flip], view
            )
        ]
        assert len(found) == 1
        seen |= set(found)
    rows, columns, flips = map(set, zip(*seen, strict=True))
    assert rows == columns == set(range(9)) and flips == {1, -1}


def test_tables_tell_what_is_finished(run, root, script, tmp_path):
    plain = [0.921, 0.923, 0.922, 0.920, 0.924]
    gains = [0.006, 0.004, 0.005, 0.007, 0.003]
    settings = {
        "recipe": {"distill": {"epochs": 2}},
        "about": {"dataset": "d", "teacher": "t", "student": "s"},
        "teacher_accuracy": 0.9339,
        **dict.fromkeys(("device", "jax", "keras"), "x"),
    }
    (tmp_path / "settings.json").write_text(json.dumps(settings))
    rows = [("paraphraser", 0, 1, None), ("ft", 5, 1, 0.5)]
    for seed, (accuracy, gain) in enumerate(zip(plain, gains, strict=True)):
        rows += [("none", seed, 1, 0.95), ("none", seed, 2, accuracy)]
        rows += [("ft", seed, 1, 0.1), ("ft", seed, 2, accuracy + gain)]
    names = ("method", "seed", "epoch", "accuracy")
    texts = [
        json.dumps(
            dict(zip(names, row, strict=True))
            | {"seconds": 1.5, "compiled": row[2] == 1}
        )
        for row in rows
    ]
    # The writer of the last line was killed.
    (tmp_path / "results.jsonl").write_text("\n\n".join(texts) + '\n{"met')
    output = run(
        sys.executable,
        "tensorflow",
        script,
        "--tables",
        f"--out={tmp_path}",
        PYTHONPATH=str(root),
    )
    table = (tmp_path / "tables.md").read_text()
    assert table in output
    deviation = 100 * np.std(np.add(plain, gains), ddof=1)
    # Student's t of 4 degrees of freedom, 2.776, of differences whose
    # deviation is 0.158: 0.5 +- 0.196.
    assert table.splitlines()[-4:] == [
        "| plain | 5 | 92.20 ± 0.16 | 95.00 ± 0.00 | - | - | 1.50 |",
        f"| FT | 5 | 92.70 ± {deviation:.2f} | 92.70 ± {deviation:.2f} "
        "| +0.5 pt, 95 % CI [0.3, 0.7] | - | 1.50 |",
        "",
        "Target of plain training: 92.2 ± 0.3 %: reached with 92.20 %.",
    ]
