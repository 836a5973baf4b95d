"""Compare a search that is killed again and again with one left alone.

    python benchmarks/killed_search.py --kills=10
    python benchmarks/killed_search.py --kills=10 --tuner=hyperband
    python benchmarks/killed_search.py --toy --kills=3

`keras-ft tune` runs once undisturbed. Then it runs in another folder and gets
SIGKILL at random moments, and is started again with the same command each
time, until it was killed so often and may come to its end. Checked after every
kill and at the end: no file of a finished trial or paraphraser was written
again, nothing was trained twice, and the table and the best student are those
of the undisturbed search. Any breach ends the script with an error. Hyperband
trains the better of its trials further, each epoch once. Writes a JSON and
a Markdown file per tuner to benchmarks/results/.
"""

import collections
import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time

import kept_runs
import keras
import numpy as np
from absl import app
from absl import flags

from keras_ft.artifacts import read_json

KILLS = flags.DEFINE_integer("kills", 10, "How often.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the moments.")
TUNER = flags.DEFINE_enum(
    "tuner",
    "random",
    ["random", "grid", "bayesian", "hyperband"],
    "Who chooses the trials.",
)

# The first of the rates leaves no channel, so that its trials fail.
REAL = [
    "--rates=0.001,0.25,0.5,0.75,1,2,4",
    "--betas=50,500",
    "--paraphrase_epochs=1",
    "--epochs=2",
    "--views=2",
    "--train_examples=1500",
]
TOY = [
    "--pixels=dataset",  # None suits the teacher, which is not trained.
    "--rates=0.001,0.5,1,2,4",
    "--betas=50,500",
    "--paraphrase_epochs=1",
    "--epochs=2",
    "--views=2",
    "--train_examples=128",
    "--batch_size=64",
    "--learning_rate=0.05",
]
DONE = re.compile(r"^(trial: .*: trained|phase 1: .* trained)$", re.MULTILINE)


def main(_):
    work = kept_runs.folder("killed_search")
    shutil.rmtree(work, ignore_errors=True)
    work.mkdir(parents=True)
    words = [
        "--tuner=" + TUNER.value,
        *(toy(work) if kept_runs.TOY.value else REAL),
    ]
    if TUNER.value in ("random", "bayesian"):
        words.append("--max_trials=12")
    if TUNER.value == "hyperband":
        words.append("--epochs=9")
    alone = finished(work / "alone", words)
    # Again, to know how much of the time is no training.
    idle = finished(work / "alone", words)
    print(f"undisturbed: {alone:.0f} s, again: {idle:.0f} s", flush=True)
    kills, more = killed(work / "killed", words, alone, idle)
    expected, trained = (
        collections.Counter(DONE.findall(log(work / name)))
        for name in ("alone", "killed")
    )
    # Hyperband tells a trial again after each of its rounds.
    assert TUNER.value == "hyperband" or max(expected.values()) == 1, expected
    twice = trained - expected
    assert not twice, twice
    compare(work / "alone", work / "killed")
    results = {
        "words": words,
        "kills": kills,
        "seconds_alone": round(alone, 1),
        "seconds_killed": round(more, 1),
        "trials": table(work / "alone"),
        "paraphrasers": len(list(work.glob("alone/cache/paraphrasers/*/"))),
        "trained_once": len(trained),
        "trained_twice": len(twice),
    }
    kept_runs.write(f"killed_search_{TUNER.value}", results, text(results))


def toy(work):
    """Return flags for networks that train in a second."""
    keras.utils.set_random_seed(1)
    words = list(TOY)
    for name, channels in (("teacher", 12), ("student", 8)):
        image = keras.Input((28, 28, 1))
        x = keras.layers.Conv2D(channels, 5, strides=4, padding="same")(image)
        x = keras.layers.ReLU(name="features")(x)
        x = keras.layers.Flatten()(x)
        network = keras.Model(image, keras.layers.Dense(10)(x), name=name)
        network.save(work / f"{name}.keras")
        words.append(f"--{name}={work / name}.keras")
    return words


def start(folder, words):
    """Start the search, with its output in a file beside its folder."""
    with open(folder.with_suffix(".log"), "a", encoding="utf-8") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "keras_ft", "tune", f"--run_dir={folder}"]
            + words,
            env={**os.environ, **kept_runs.OF_A_RUN},
            stdout=output,
            stderr=output,
        )


def finished(folder, words):
    """Run the search to its end; return the seconds it took."""
    begun = time.monotonic()
    assert start(folder, words).wait() == 0, log(folder)
    return time.monotonic() - begun


def killed(folder, words, alone, idle):
    """Kill the search so often, let it end; return kills and seconds."""
    chance = random.Random(SEED.value)
    kills, known = [], {}
    # Spread over the work there is: a start, and a share of the training.
    longest = idle + 1.5 * max(0, alone - idle) / KILLS.value
    begun = time.monotonic()
    while len(kills) < KILLS.value:
        process = start(folder, words)
        moment = chance.uniform(0.3 * idle, longest)
        try:
            # One that came to its end is started, and killed, once more.
            assert process.wait(timeout=moment) == 0, log(folder)
            print("ended before its kill", flush=True)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
        known = unchanged(folder, known)
        if process.returncode:
            kills.append({"after": round(moment, 1), "finished": len(known)})
            print(f"kill {len(kills)}: {kills[-1]}", flush=True)
    finished(folder, words)
    unchanged(folder, known)
    return kills, time.monotonic() - begun


def unchanged(folder, known):
    """Return what is finished; refuse a finished file written again."""
    names = ("trials/*/result.json", "paraphrasers/*/paraphraser.weights.h5")
    now = {
        str(path): state(path)
        for name in names
        for path in folder.glob(f"cache/{name}")
    }
    rewritten = [
        path
        for path, before in known.items()
        if now.get(path, ())[: len(before)] != before
    ]
    assert not rewritten, rewritten
    return now


def state(path):
    """Return what stays, or is only added to, when a file is finished."""
    if TUNER.value == "hyperband" and path.suffix == ".json":
        # A trial that is trained further has more epochs, after the same ones.
        content = read_json(path, sealed=True)
        return tuple(str(row) for row in content.get("rows", []))
    return path.stat().st_mtime_ns, path.stat().st_ino


def compare(one, other):
    """Refuse results that differ."""
    assert table(one) == table(other), (table(one), table(other))
    students = [
        keras.models.load_model(f / "student.keras") for f in (one, other)
    ]
    for mine, theirs in zip(*(s.get_weights() for s in students), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def table(folder):
    """Return the trials without the time they took."""
    found = json.loads((folder / "trials.json").read_text("utf-8"))
    for trial in found["trials"]:
        del trial["seconds"]
    return found


def log(folder):
    return folder.with_suffix(".log").read_text("utf-8")


def text(results):
    found = results["trials"]["trials"]
    status = collections.Counter(trial["status"] for trial in found)
    moments = ", ".join(
        f"{kill['after']:g} ({kill['finished']})" for kill in results["kills"]
    )
    return (
        f"# A search that is killed: {TUNER.value}\n\n"
        f"`keras-ft tune {' '.join(results['words'])}`: "
        f"{len(found)} trials, {status['COMPLETED']} completed and "
        f"{status['FAILED']} failed (a rate that leaves no channel), "
        f"{results['paraphrasers']} paraphrasers.\n\n"
        f"Undisturbed it took {results['seconds_alone']:.0f} s; with "
        f"{len(results['kills'])} kills, {moments} seconds after a start "
        "(trials and paraphrasers finished by then), "
        f"{results['seconds_killed']:.0f} s in all. Table and best student are "
        "the same, bit for bit. Finished trials and paraphrasers written "
        f"again: 0; trained twice: {results['trained_twice']}.\n"
    )


if __name__ == "__main__":
    app.run(main)
