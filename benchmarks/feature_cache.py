"""What a feature cache costs: to build, to open, and to read.

    python benchmarks/feature_cache.py --data_dir=DIR --teacher=FILE.npz
    python benchmarks/feature_cache.py --toy

Building is compared with the teacher's pass over the same batches, images
read and features fetched, by the teacher itself and folded; reading with the
plain pipeline of images. What is compared takes turns in one process, in an
order that is shuffled each round, so that other load meets all of it. Files
were just written when they are read: this is the checks' speed, not the
disk's. Writes a JSON and a Markdown file to benchmarks/results/.
"""

import os

# As `keras-ft` sets it. TensorFlow reads it once, when it is imported.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

import platform
import random
import statistics
import tempfile
import time
from pathlib import Path

import keras
import tensorflow as tf
from absl import app
from absl import flags

import keras_ft
from keras_ft.acceleration.folded_teacher import fold
from keras_ft.acceleration.processor import gains_from_bfloat16
from keras_ft.artifacts import write_json
from keras_ft.artifacts import write_text
from keras_ft.feature_cache import FeatureCache
from keras_ft.feature_cache import teacher_pass
from keras_ft.feature_cache.store import Store
from keras_ft.features import feature_taps
from keras_ft.features import views

TOY = flags.DEFINE_boolean("toy", False, "Tiny sizes, to try the script out.")
DATASET = flags.DEFINE_string("dataset", "cifar10", "See keras_ft.data.load.")
DATA_DIR = flags.DEFINE_string("data_dir", None, "Where TFDS keeps its sets.")
TEACHER = flags.DEFINE_string("teacher", None, "ResNet arrays (.npz).")
SMALL = flags.DEFINE_string(
    "small_teacher", "resnet8", "Fills the cache that is opened and read."
)
EXAMPLES = flags.DEFINE_integer("train_examples", 12_800, "For building.")
VIEWS = flags.DEFINE_integer("views", 8, "For opening and reading.")
ROUNDS = flags.DEFINE_integer("rounds", 3, "Timings of each.")
BATCHES = flags.DEFINE_integer("batches", 400, "Read in each timing.")
OUT = flags.DEFINE_string("out", None, "Results, without an ending.")

RESULTS = Path(__file__).resolve().parent / "results"


def normalized(network, images):
    """Statistics of a batch: fresh ones let a deep network's maps explode."""
    norms = [
        layer
        for layer in network.layers
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    kept = [layer.momentum for layer in norms]
    for layer in norms:
        layer.momentum = 0.0
    network(images, training=True)
    for layer, momentum in zip(norms, kept, strict=True):
        layer.momentum = momentum
    return network


def in_turns(runs, rounds):
    """Seconds of every run, by name, in order of rounds."""
    times = {name: [] for name in runs}
    shuffled = random.Random(0)
    for _ in range(rounds):
        for name in shuffled.sample(sorted(runs), len(runs)):
            start = time.perf_counter()
            runs[name]()
            times[name].append(time.perf_counter() - start)
            print(f"  {name}: {times[name][-1]:.2f} s", flush=True)
    return times


def summary(times):
    return {
        "median": statistics.median(times),
        "minimum": min(times),
        "maximum": max(times),
        "all": times,
    }


def ratios(times, others):
    """One's time over the other's in the same round."""
    pairs = zip(times, others, strict=True)
    return summary([one / other for one, other in pairs])


def building(teacher, data, folder, rounds):
    """Seconds of a pass and of builds, by teacher; and their ratios."""
    tap = feature_taps.find(teacher, None, "teacher")
    dtype = "bfloat16" if gains_from_bfloat16() else "float32"
    folded = tf.function(fold(views.view(teacher, [tap]), dtype, keep=[0]))
    passes = {
        "teacher": teacher_pass.live_teacher(teacher, [tap], False),
        "folded": lambda images: [folded(images)],
    }
    count = iter(range(10**6))

    def plain(run):
        batches = data.train_from(0).take(data.steps_per_epoch)
        for part in (batches, data.validation, data.test):
            for images, _ in part:
                run(images)[0].numpy()

    def built(run, on_disk):
        FeatureCache.build(
            folder / f"built{next(count)}" if on_disk else None,
            teacher,
            data,
            views=1,
            forward=run,
            echo=None,
        )

    found = {}
    for name, run in passes.items():
        times = in_turns(
            {
                "pass": lambda run=run: plain(run),
                "memory": lambda run=run: built(run, False),
                "disk": lambda run=run: built(run, True),
            },
            rounds,
        )
        found[name] = {
            "seconds": {key: summary(value) for key, value in times.items()},
            "over_pass": {
                key: ratios(times[key], times["pass"])
                for key in ("memory", "disk")
            },
        }
    return found


def opening(teacher, data, folder, rounds):
    """Seconds to open and to verify, with and without the teacher."""
    known = FeatureCache.open(folder, teacher, data)

    def verify():
        store = Store(folder)
        store.load()
        store.verify()

    times = in_turns(
        {
            "verify": verify,
            "open": lambda: FeatureCache.open(folder, teacher, data),
            "open_without_teacher": lambda: FeatureCache.open(
                folder, None, data, teacher_digest=known.teacher_digest
            ),
        },
        rounds,
    )
    return {
        "bytes": known.bytes,
        "seconds": {name: summary(value) for name, value in times.items()},
        "gigabytes_per_second": {
            name: known.bytes / 1e9 / statistics.median(value)
            for name, value in times.items()
        },
    }


def reading(caches, data, rounds, batches):
    """Seconds for some batches, of images alone and of each cache."""
    sources = {"images alone": data, **caches}
    streams = {
        name: iter(source.train_from(0)) for name, source in sources.items()
    }

    def read(name):
        for _ in range(batches):
            next(streams[name])

    for name in streams:
        next(streams[name])
    runs = {name: (lambda name=name: read(name)) for name in streams}
    times = in_turns(runs, rounds)
    plain = times["images alone"]
    return {
        name: {
            "batches_per_second": batches / statistics.median(value),
            "over_images_alone": ratios(value, plain),
            "more_milliseconds_per_batch": 1000
            * statistics.median(
                (one - other) / batches
                for one, other in zip(value, plain, strict=True)
            ),
        }
        for name, value in times.items()
    }


def measured(folder):
    toy = TOY.value
    rounds, few = (2, 256) if toy else (ROUNDS.value, EXAMPLES.value)
    name = "fashion_mini" if toy else DATASET.value
    some, data = (
        keras_ft.data.load(name, data_dir=DATA_DIR.value, train_examples=count)
        for count in (few, 512 if toy else None)
    )
    small = keras_ft.zoo.build(SMALL.value, data.classes, data.input_shape)
    normalized(small, next(iter(data.train_from(0)))[0])
    teacher = small if toy else keras_ft.zoo.load_torch_resnet(TEACHER.value)
    print("building", flush=True)
    found = {"build": building(teacher, some, folder, rounds)}
    caches = {}
    for dtype in ("float16", "int8"):
        print(f"a cache in {dtype}", flush=True)
        many = 2 if toy else VIEWS.value
        caches[f"{dtype} on disk"] = FeatureCache.build(
            folder / dtype, small, data, views=many, dtype=dtype, echo=None
        )
    caches["float16 in memory"] = FeatureCache.build(
        None, small, data, views=1, echo=None
    )
    print("opening and reading", flush=True)
    found["open"] = opening(small, data, folder / "float16", rounds)
    batches = 20 if toy else BATCHES.value
    found["read"] = reading(caches, data, 2 * rounds, batches)
    return found | {"teacher": teacher.name, "data": name, "rounds": rounds}


def table(results):
    """The results for people."""
    build, opened = results["build"], results["open"]
    lines = [
        f"# A feature cache of {results['data']}, {results['machine']}",
        "",
        *(
            ["A toy run: it shows that the script runs, not how fast.", ""]
            if results["toy"]
            else []
        ),
        f"TensorFlow {results['tensorflow']}, Keras {results['keras']}, "
        f"{results['cores']} cores, oneDNN {results['onednn']}; median of "
        f"{results['rounds']} rounds (reading: twice as many), least and most "
        "in brackets. Building is the whole call, checks included, over the "
        f"pass of {results['teacher']} over the same batches.",
        "",
        "| build | pass, s | in memory | on disk |",
        "|---|---|---|---|",
    ]
    for name, v in build.items():
        cells = [_ratio(v["over_pass"][key]) for key in ("memory", "disk")]
        seconds = v["seconds"]["pass"]["median"]
        lines.append(f"| by {name} | {seconds:.1f} | {' | '.join(cells)} |")
    lines += [
        "",
        f"| {opened['bytes'] / 1e9:.2f} GB | seconds | GB/s |",
        "|---|---|---|",
    ]
    for name, seconds in opened["seconds"].items():
        speed = opened["gigabytes_per_second"][name]
        shown = name.replace("_", " ")
        lines.append(f"| {shown} | {seconds['median']:.2f} | {speed:.2f} |")
    lines += [
        "",
        "| read | batches/s | time over images alone | ms more per batch |",
        "|---|---|---|---|",
    ]
    for name, v in results["read"].items():
        lines.append(
            f"| {name} | {v['batches_per_second']:.0f} "
            f"| {_ratio(v['over_images_alone'])} "
            f"| {v['more_milliseconds_per_batch']:.2f} |"
        )
    return "\n".join(lines) + "\n"


def _ratio(found):
    low, high = found["minimum"], found["maximum"]
    return f"{found['median']:.2f} ({low:.2f}-{high:.2f})"


def main(_):
    with tempfile.TemporaryDirectory() as folder:
        found = measured(Path(folder))
    results = {
        "toy": TOY.value,
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "onednn": os.environ["TF_ENABLE_ONEDNN_OPTS"],
        "gains_from_bfloat16": gains_from_bfloat16(),
        "tensorflow": tf.__version__,
        "keras": keras.__version__,
        **found,
    }
    words = ["feature_cache", *(["toy"] if TOY.value else [])]
    out = Path(OUT.value) if OUT.value else RESULTS / "_".join(words)
    write_json(out.with_suffix(".json"), results)
    write_text(out.with_suffix(".md"), table(results))
    print(table(results))


if __name__ == "__main__":
    app.run(main)
