"""MediaPipe's ImageClassifier reads our files as an Android app would."""

import json
import subprocess
from pathlib import Path

import numpy as np
import pytest

SCRIPT = Path(__file__).with_name("classify_with_mediapipe.py")


@pytest.mark.slow
@pytest.mark.long
def test_names_and_scores_are_litert_s(
    exported, pictures, mediapipe_python, tmp_path
):
    path, probabilities = exported
    np.save(tmp_path / "pictures.npy", pictures)
    done = subprocess.run(
        [mediapipe_python, SCRIPT, path, tmp_path / "pictures.npy"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    answers = json.loads(done.stdout.splitlines()[-1])
    names = Path(path).with_name("labels.txt")
    assert not names.exists()  # They come out of the file itself.
    for answer, expected in zip(answers, probabilities, strict=True):
        scores = dict(answer)
        assert sorted(scores) == ["bus", "cat", "cup", "fern", "shoe"]
        found = [scores[name] for name in ("bus", "cat", "cup", "fern", "shoe")]
        np.testing.assert_allclose(found, expected, atol=1e-3)
        assert np.argmax(found) == np.argmax(expected)
