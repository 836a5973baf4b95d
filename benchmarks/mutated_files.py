"""Whether damaged `.tflite` files can kill `keras-ft benchmark`.

    python benchmarks/mutated_files.py
    python benchmarks/mutated_files.py --count=100 --out=/tmp/mutated

Damages three files of a small student (float32, dynamic and int8) in every way
of mutations.py and gives them to the command itself, with its student and test
images, some hundred at a time. Counts the files that LiteRT refused, that
crashed the process they ran in, that took too long and that still worked, and
checks that the command ended by itself with a row for each. 2,000 files take
about a quarter of an hour on two cores. Writes a JSON and a Markdown file to
benchmarks/results/.
"""

import collections
import concurrent.futures
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import kept_runs
import keras
import mutations
import numpy as np
from absl import app
from absl import flags

import keras_ft

COUNT = flags.DEFINE_integer("count", 2000, "Damaged files.", lower_bound=1)
SEED = flags.DEFINE_integer("seed", 0, "Of the damage.")
JOBS = flags.DEFINE_integer("jobs", 2, "Commands at the same time.")
SECONDS = flags.DEFINE_float("time_limit", 20.0, "For one file.")

BATCH = 250
OUTCOMES = ("refused", "crashed", "timed out", "worked")


def originals(folder):
    """A student, and its files by name."""
    data = keras_ft.data.load("fashion_mini")
    keras.utils.set_random_seed(SEED.value)
    student = keras_ft.zoo.build(
        "resnet8", classes=data.classes, input_shape=data.input_shape
    )
    student.save(folder / "student.keras")
    images, _ = data.examples("train", 64)
    found = {}
    for quantization in ("none", "dynamic", "int8"):
        path = folder / f"original_{quantization}.tflite"
        keras_ft.export.to_tflite(
            student,
            path,
            quantization,
            calibration=images,
            normalization=data.normalization,
            class_names=data.class_names,
            # Untrained: its answers hang on the last bit.
            min_agreement=0.0,
        )
        found[quantization] = path.read_bytes()
    return found


def damage(folder, found):
    """Write the damaged files; returns their names."""
    kinds, sources = list(mutations.KINDS), list(found)
    names = []
    for i in range(COUNT.value):
        random = np.random.default_rng((SEED.value, i))
        kind = kinds[i % len(kinds)]
        source = sources[i // len(kinds) % len(sources)]
        names.append(f"{i:04}.{kind}.{source}.tflite")
        content = mutations.KINDS[kind](found[source], random)
        (folder / names[-1]).write_bytes(content)
    return names


def command(folder, names):
    """Give files to `keras-ft benchmark`; returns its rows."""
    output = folder / f"results_{names[0][:4]}"
    begun = time.perf_counter()
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "keras_ft",
            "benchmark",
            f"--tflite={','.join(names)}",
            "--student=student.keras",
            "--dataset=fashion_mini",
            "--test_examples=16",
            "--runs=2",
            f"--time_limit={SECONDS.value}",
            f"--output={output}",
        ],
        cwd=folder,
        env={**os.environ, **kept_runs.OF_A_RUN},
        capture_output=True,
        text=True,
        check=False,
    )
    # 2 is "some files had errors", said in one line.
    if done.returncode not in (0, 2):
        raise RuntimeError(
            f"The command ended with {done.returncode}: {done.stderr[-2000:]}"
        )
    passed = time.perf_counter() - begun
    print(f"{len(names)} files in {passed:.0f} s", flush=True)
    rows = json.loads((output / "benchmark.json").read_text("utf-8"))["files"]
    assert [row["file"] for row in rows] == names
    return rows


def tallied(rows):
    """Outcomes by kind of damage, and crashes by signal."""
    kinds = {kind: dict.fromkeys(OUTCOMES, 0) for kind in mutations.KINDS}
    crashes = collections.Counter()
    examples = {}
    for row in rows:
        kind = row["file"].split(".")[1]
        outcome, _, reason = (row["error"] or "worked").partition(": ")
        kinds[kind][outcome] += 1
        if outcome == "crashed":
            signal = reason.partition("(")[2].split(",")[0].rstrip(")")
            crashes[signal] += 1
            examples.setdefault(signal, f"{row['file']}: {reason}")
    return {
        "files": len(rows),
        "outcomes": {
            outcome: sum(counts[outcome] for counts in kinds.values())
            for outcome in OUTCOMES
        },
        "kinds": kinds,
        "crashes": dict(crashes.most_common()),
        "examples": examples,
    }


def main(_):
    begun = time.perf_counter()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        names = damage(folder, originals(folder))
        parts = [names[i : i + BATCH] for i in range(0, len(names), BATCH)]
        with concurrent.futures.ThreadPoolExecutor(JOBS.value) as pool:
            work = pool.map(lambda part: command(folder, part), parts)
            rows = [row for part in work for row in part]
    results = {
        "settings": {
            "count": COUNT.value,
            "seed": SEED.value,
            "time_limit": SECONDS.value,
            "commands": len(parts),
        },
        "litert": keras_ft.export.machine(),
        "seconds": round(time.perf_counter() - begun, 1),
        **tallied(rows),
    }
    kept_runs.write("mutated_files", results, as_text(results))


def as_text(results):
    """The Markdown page."""
    outcomes = results["outcomes"]
    commands = results["settings"]["commands"]
    lines = [
        "# Damaged .tflite files",
        "",
        f"{results['litert']}.",
        "",
        f"{results['files']:,} damaged files given to `keras-ft benchmark`, in "
        f"{commands} calls, with a limit of "
        f"{results['settings']['time_limit']:g} s for a file. Every call ended "
        "by itself, with a row for each file: "
        f"{outcomes['refused']:,} were refused by LiteRT or by the command, "
        f"{outcomes['crashed']:,} crashed the process they ran in, "
        f"{outcomes['timed out']:,} took too long, and {outcomes['worked']:,} "
        "still worked: damage to a weight, or to what nobody reads, leaves a "
        "file that runs. What takes too long depends on what else the machine "
        "does: a changed shape can mean much more arithmetic.",
        "",
        f"| damage | {' | '.join(OUTCOMES)} |",
        f"|---|{'---|' * len(OUTCOMES)}",
    ]
    for kind, counts in results["kinds"].items():
        cells = " | ".join(str(counts[outcome]) for outcome in OUTCOMES)
        lines.append(f"| {kind.replace('_', ' ')} | {cells} |")
    if results["crashes"]:
        lines += ["", "| crash | files |", "|---|---|"]
        lines += [f"| {k} | {n} |" for k, n in results["crashes"].items()]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    app.run(main)
