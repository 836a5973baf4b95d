"""Step time of plain training and of Factor Transfer, on JAX, any device.

    PYTHONPATH=. python benchmarks/gpu/step_time.py
    PYTHONPATH=. python benchmarks/gpu/step_time.py --toy

ResNet-56 to ResNet-20 on images of CIFAR's shape, in float32 and bfloat16, at
two batch sizes: plain training of the student, FT with the teacher running,
and FT with the teacher's features given. Needs no TensorFlow and no data.
Writes a JSON and a Markdown file to benchmarks/results/.
"""

import json
import os
import platform
import re
import subprocess
import sys
from pathlib import Path

from absl import app
from absl import flags

from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text

TOY = flags.DEFINE_boolean("toy", False, "Tiny sizes, to try the script out.")
PRECISIONS = flags.DEFINE_list(
    "precisions", "float32,mixed_bfloat16", "Keras dtype policies."
)
BATCHES = flags.DEFINE_list("batches", None, "By default 128,512.")
ROUNDS = flags.DEFINE_integer("rounds", 40, "Timings of each variant.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps in one timing.")
OUT = flags.DEFINE_string("out", None, "Results, without an ending.")

HERE = Path(__file__).resolve().parent
VARIANTS = {
    "plain": "plain",
    "ft_online": "FT online",
    "ft_cached": "FT, features given",
}


def settings():
    """Return what is measured, in words for the flags of measure.py."""
    networks, batches = ("resnet56", "resnet20"), ("128", "512")
    rounds, steps = ROUNDS.value, STEPS.value
    if TOY.value:
        networks, batches = ("resnet8", "resnet8"), ("8", "16")
        rounds, steps = 9, 3
    return {
        "teacher": networks[0],
        "student": networks[1],
        "batches": [int(size) for size in BATCHES.value or batches],
        "rounds": rounds,
        "steps": steps,
        "warm_up": 1 if TOY.value else 5,
    }


def measured(chosen, **more):
    """Return what measure.py finds, in a process of its own."""
    words = {k: v for k, v in chosen.items() if k != "batches"} | more
    done = subprocess.run(
        [
            sys.executable,
            str(HERE / "measure.py"),
            *(f"--{name}={value}" for name, value in words.items()),
        ],
        env={**os.environ, "KERAS_BACKEND": "jax"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def configuration(chosen, precision, size):
    """Measure one batch size in one precision."""
    found = measured(chosen, precision=precision, batch=size)
    for name, variant in found["variants"].items():
        variant["peak_bytes"] = None
        if found["measures_memory"]:
            variant["peak_bytes"] = measured(
                chosen, precision=precision, batch=size, only=name
            )["peak_bytes"]
    return {"precision": precision, "batch": size, **found}


def table(results):
    """Return the results for people."""
    chosen, rows = results["settings"], results["configurations"]
    kind = "A toy run: it shows that the script runs, not how fast anything is."
    lines = [
        f"# Step time on {results['device']}, {results['processor']}",
        "",
        *([kind, ""] if results["toy"] else []),
        f"{chosen['teacher']} to {chosen['student']}, images of 32x32x3, JAX "
        f"{results['jax']}, Keras {results['keras']}. The compiled training "
        "step alone: data lie on the device, results are waited for. Median, "
        f"minimum and 10-90 % range of {chosen['rounds']} timings of "
        f"{chosen['steps']} steps each; the variants take turns. Left out: "
        f"compilation, in the last column, and {chosen['warm_up']} rounds of "
        "warm-up. "
        '"Features given" means that the teacher\'s features of the batch are '
        "an array on the device: what a feature cache could reach at best. "
        "Peak memory is the device's own count in a process of its own, "
        "weights held twice.",
        "",
        "| precision | batch | variant | median ms | minimum | 10-90 % | "
        "of plain | images/s | peak MiB | compile s |",
        "|---" * 10 + "|",
    ]
    for row in rows:
        plain = row["variants"]["plain"]["median_ms"]
        for name, label in VARIANTS.items():
            v = row["variants"][name]
            peak = v["peak_bytes"]
            lines.append(
                f"| {row['precision']} | {row['batch']} | {label} "
                f"| {v['median_ms']:.2f} | {v['minimum_ms']:.2f} "
                f"| {v['p10_ms']:.2f}-{v['p90_ms']:.2f} "
                f"| {v['median_ms'] / plain:.2f} "
                f"| {v['images_per_second']:,.0f} "
                f"| {'-' if peak is None else f'{peak / 2**20:,.0f}'} "
                f"| {v['compile_seconds']:.1f} |"
            )
    return "\n".join(lines) + "\n"


def path(results):
    """Return where the results go: by device, or as the flag says."""
    if OUT.value:
        return Path(OUT.value)
    words = ["step_time", *(["toy"] if results["toy"] else [])]
    device = re.sub(r"\W+", "_", results["device"].lower())
    return HERE.parent / "results" / "_".join([*words, device])


def main(_):
    chosen = settings()
    rows = [
        configuration(chosen, precision, size)
        for precision in PRECISIONS.value
        for size in chosen["batches"]
    ]
    same = {key: rows[0].pop(key) for key in ("device", "jax", "keras")}
    for row in rows:
        for key in (*same, "platform", "measures_memory"):
            row.pop(key, None)
    results = {
        **same,
        "toy": TOY.value,
        "processor": platform.machine(),
        "settings": chosen,
        "configurations": rows,
    }
    out = path(results)
    write_json(out.with_suffix(".json"), results)
    write_text(out.with_suffix(".md"), table(results))
    print(table(results))


if __name__ == "__main__":
    app.run(main)
