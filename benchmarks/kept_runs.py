"""Keep the runs of a benchmark, each measured once, and its results.

A run is measured in a process of its own and kept as a line of JSON in
`--work`. A benchmark that was stopped and is started again measures what is
missing. A kept line counts where the settings of the run, the machine and the
versions are the same; it knows nothing of changes to the code: delete the
folder to measure those.
"""

import json
import os
import platform
import signal
import subprocess
import sys
import time
from pathlib import Path

import keras
import tensorflow as tf
from absl import app
from absl import flags

import keras_ft
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text

TOY = flags.DEFINE_boolean(
    "toy", False, "Embedded images, small networks: to try the script out."
)
WORK = flags.DEFINE_string(
    "work", None, "Folder of the kept runs; runs/benchmarks/<name> if left out."
)
OUT = flags.DEFINE_string("out", None, "Results, without an ending.")
ONE = flags.DEFINE_string("one", None, "Measure this one run, print JSON.")

RESULTS = Path(__file__).resolve().parent / "results"
OF_A_RUN = {
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "CUDA_VISIBLE_DEVICES": "-1",
    # As `keras-ft` sets it.
    "TF_ENABLE_ONEDNN_OPTS": "1",
}


def environment():
    """Return what a measured time depends on beside the settings."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text("utf-8").splitlines() if path.exists() else []
    names = [x.split(":", 1)[1] for x in lines if x.startswith("model name")]
    return {
        "processor": names[0].strip() if names else platform.machine(),
        "cores": os.cpu_count(),
        "gains_from_bfloat16": gains_from_bfloat16(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        "keras_ft": keras_ft.__version__,
    }


def folder(name):
    """Return where a benchmark keeps what it may need again."""
    stem = f"{name}_toy" if TOY.value else name
    return Path(WORK.value or Path("runs", "benchmarks", stem))


class KeptRuns:
    """Measure runs in processes of their own, each once.

    Args:
        name: The benchmark's.
        shared: Settings of all its runs; lines with others do not count.
    """

    def __init__(self, name, shared):
        self.folder = folder(name)
        self._known = {"environment": environment(), "shared": shared}
        self._file = self.folder / "runs.jsonl"

    def get(self, **run):
        """Return what the run's process returned, now or earlier."""
        for line in self._lines():
            if line | self._known | {"run": run} == line:
                print(_progress(run, line["result"], "kept"), flush=True)
                return line["result"]
        begun = time.perf_counter()
        result = _in_a_process(run)
        self._append({"run": run, **self._known, "result": result})
        passed = f"{time.perf_counter() - begun:.0f} s"
        print(_progress(run, result, passed), flush=True)
        return result

    def _lines(self):
        if not self._file.exists():
            return
        for text in self._file.read_text("utf-8").splitlines():
            try:
                yield json.loads(text)
            except ValueError:
                continue  # The writer was killed.

    def _append(self, line):
        self.folder.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as stream:
            # Begins with a new line, in case the last one is incomplete.
            stream.write(f"\n{json.dumps(line)}\n")
            stream.flush()
            os.fsync(stream.fileno())


def _in_a_process(run):
    done = subprocess.run(
        [sys.executable, *sys.argv, f"--one={json.dumps(run)}"],
        env={**os.environ, **OF_A_RUN},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    return json.loads(done.stdout.splitlines()[-1])


def _progress(run, result, passed):
    words = " ".join(f"{key}={value}" for key, value in run.items())
    return f"[{passed}] {words}: {result['says']}"


def start(benchmark, measure):
    """Run a script: the benchmark, or one of its runs.

    Args:
        benchmark: Called without arguments; gets its runs from `KeptRuns`.
        measure: Called with the settings of one run. Returns what JSON holds;
            "says" in it is for the progress line.
    """

    def main(_):
        if ONE.value:
            print(json.dumps(measure(**json.loads(ONE.value))))
            return
        # A benchmark that is told to end takes its running process along.
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
        benchmark()

    app.run(main)


def write(name, results, text):
    """Write and show the results; a toy's never replace the real ones."""
    stem = f"{name}_toy" if TOY.value else name
    out = Path(OUT.value or RESULTS / stem)
    toy = "A toy run: it shows that the script runs.\n\n" * TOY.value
    title, rest = text.split("\n\n", 1)
    text = f"{title}\n\n{toy}{machine()}\n\n{rest}"
    results = {"toy": TOY.value, "environment": environment(), **results}
    write_json(out.with_suffix(".json"), results)
    write_text(out.with_suffix(".md"), text)
    print(text)


def machine():
    """Return a sentence on the environment."""
    e = environment()
    gains = "gains" if e["gains_from_bfloat16"] else "does not gain"
    return (
        f"{e['cores']} cores of {e['processor']}, which {gains} from bfloat16; "
        f"TensorFlow {e['tensorflow']}, Keras {e['keras']}."
    )
