"""Measure the step time of Factor Transfer beside its peers, in turns.

    python benchmarks/peers/compare.py
    python benchmarks/peers/compare.py --phase=1
    python benchmarks/peers/compare.py --toy

Plain Keras `fit`, ours with the teacher running and with cached features,
Keras' own Distiller, the torchdistill package and the official PyTorch loop.
`make install-torch` makes the environment that PyTorch's rows need. Linux
only: loads and memory are read from /proc. Writes a JSON and a Markdown file
per pair of networks to benchmarks/results/.
"""

import os
import platform
import sys
import tempfile
import time
from pathlib import Path

import contenders
import summary
import turns
from absl import app
from absl import flags

from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text

HERE = Path(__file__).resolve().parent
REPOSITORY = HERE.parents[1]
RESULTS = REPOSITORY / "benchmarks" / "results"
REAL = [name for name in contenders.PAIRS if name != "toy"]

TOY = flags.DEFINE_boolean("toy", False, "Tiny sizes, to try the script out.")
PAIRS = flags.DEFINE_list("pairs", REAL, f"Of {', '.join(REAL)}.")
PHASE = flags.DEFINE_enum("phase", "2", ["1", "2"], "Which training.")
CONTENDERS = flags.DEFINE_list(
    "contenders", None, "Names in contenders.py; the first row always runs."
)
BATCH = flags.DEFINE_integer("batch", 128, "Images in a step.")
STEPS = flags.DEFINE_integer("steps", 20, "Steps in a turn.", lower_bound=2)
ROUNDS = flags.DEFINE_integer(
    "rounds", 12, "Turns of each contender.", lower_bound=2
)
WARM_UP = flags.DEFINE_integer("warm_up", 1, "Rounds before, not counted.")
PATIENCE = flags.DEFINE_integer("patience", 900, "Seconds for one answer.")
# "passive" makes PyTorch's steps of many small operations up to 14 % slower on
# a machine without other work (175 instead of 154 ms); on a busy one it is what
# keeps them from being several times slower.
WAIT_POLICY = flags.DEFINE_string(
    "wait_policy", "", "OMP_WAIT_POLICY; empty leaves it unset."
)
TORCH_PYTHON = flags.DEFINE_string(
    "torch_python",
    str(REPOSITORY / ".venv-torch" / "bin" / "python"),
    "Python of the environment with PyTorch and torchdistill.",
)
OUT = flags.DEFINE_string("out", None, "Folder of the results.")

# What decides about the speed of convolutions.
FLAGS_SHOWN = (
    "avx2",
    "fma",
    "avx512f",
    "avx512_vnni",
    "avx512_bf16",
    "avx512_fp16",
    "amx_tile",
    "amx_bf16",
)


def machine():
    """Return the processor, from /proc/cpuinfo."""
    fields = {}
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        key, _, value = line.partition(":")
        fields.setdefault(key.strip(), value.strip())
    words = fields.get("flags", "").split()
    return {
        "processor": fields.get("model name", platform.machine()),
        "cores": os.cpu_count(),
        "flags": [flag for flag in FLAGS_SHOWN if flag in words],
        "system": platform.platform(),
        "python": platform.python_version(),
    }


def settings():
    """Return what is measured, the same for all pairs."""
    toy = TOY.value
    return {
        "toy": toy,
        "phase": int(PHASE.value),
        "batch": 32 if toy else BATCH.value,
        "steps": 3 if toy else STEPS.value,
        "rounds": 2 if toy else ROUNDS.value,
        "wait_policy": WAIT_POLICY.value,
        "machine": machine(),
    }


def chosen(phase):
    everyone = contenders.PHASES[phase]
    asked = CONTENDERS.value or list(everyone)
    unknown = set(asked) - set(everyone)
    if unknown:
        raise app.UsageError(f"--contenders: no {', '.join(sorted(unknown))}")
    first = next(iter(everyone))
    return {n: c for n, c in everyone.items() if n == first or n in asked}


def starter(taking_part, common, folder):
    """Return a function that starts one contender's process."""
    task = {key: common[key] for key in ("teacher", "student", "batch")}
    task["warm_up"] = 3

    def start(name):
        contender = taking_part[name]
        return turns.Child(
            name,
            TORCH_PYTHON.value if contender.torch else sys.executable,
            {**task, "module": contender.module, "options": contender.options},
            PATIENCE.value,
            WAIT_POLICY.value,
            folder / f"{name}.log",
        )

    return start


def drop_unequal(match):
    """Drop networks of another size than the first contender's."""
    sizes = {n: facts["parameters"] for n, facts in match.facts.items()}
    expected = next(iter(sizes.values()), None)
    for name, found in sizes.items():
        if found != expected:
            match.drop(name, f"{found} parameters instead of {expected}")


def measured(pair, common):
    """Measure everything about one pair of networks."""
    teacher, student = contenders.PAIRS[pair]
    common = {**common, "teacher": teacher, "student": student}
    taking_part = chosen(common["phase"])
    match = played(taking_part, common)
    whole, further = summary.per_step(match.times, common["steps"])
    baseline = next(iter(taking_part))
    ours = [name for name in taking_part if name.startswith("ours")]
    imports = {n: f["peak_mb_after_import"] for n, f in match.facts.items()}
    return {
        **common,
        "labels": {n: c.label for n, c in taking_part.items()},
        "baseline": baseline,
        "ours": ours,
        "figures": summary.figures(whole, further, baseline),
        "faster": summary.times_faster(whole, ours),
        "faster_long_fit": summary.times_faster(further, ours),
        "peak_mb": match.peak_mb,
        "import_mb": imports,
        "facts": match.facts,
        "failed": match.failed,
        "idle": match.idle_share(),
        "others": match.others_share(),
    }


def played(taking_part, common):
    """Play all turns of all contenders."""
    with tempfile.TemporaryDirectory() as folder:
        start = starter(taking_part, common, Path(folder))
        match = turns.Match(start, list(taking_part))
        try:
            drop_unequal(match)
            match.warm_up(WARM_UP.value, common["steps"])
            match.play(common["rounds"], common["steps"])
        finally:
            match.end()
    return match


def main(_):
    common = settings()
    folder = Path(OUT.value) if OUT.value else RESULTS
    for pair in ["toy"] if TOY.value else PAIRS.value:
        began = time.perf_counter()
        results = measured(pair, common)
        middle = "_phase1" if common["phase"] == 1 else ""
        out = folder / f"peers{middle}_{pair}"
        write_json(out.with_suffix(".json"), results)
        write_text(out.with_suffix(".md"), summary.table(results))
        print(summary.table(results))
        print(f"{pair}: {(time.perf_counter() - began) / 60:.1f} minutes")


if __name__ == "__main__":
    app.run(main)
